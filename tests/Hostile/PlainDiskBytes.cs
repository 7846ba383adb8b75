using System.Buffers.Binary;

namespace Registry.Hostile;

/// <summary>Disks without a container: partition tables, discs, encrypted volumes; and signatures to lay over
/// others.</summary>
internal static class PlainDiskBytes
{
    public const int DiskBytes = 1 << 20;

    /// <summary>A disk with a protective MBR and a GPT header.</summary>
    public static byte[] Gpt()
    {
        var disk = new byte[DiskBytes];
        WriteMbr(disk, type: 0xEE, start: 1, sectors: DiskBytes / 512 - 1);
        var header = disk.AsSpan(512);
        "EFI PART"u8.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[8..], 0x00010000);           // revision
        BinaryPrimitives.WriteUInt32LittleEndian(header[12..], 92);                  // header size
        BinaryPrimitives.WriteUInt64LittleEndian(header[24..], 1);                   // own sector
        BinaryPrimitives.WriteUInt64LittleEndian(header[32..], DiskBytes / 512 - 1); // backup
        BinaryPrimitives.WriteUInt64LittleEndian(header[40..], 34);                  // first usable
        BinaryPrimitives.WriteUInt64LittleEndian(header[48..], DiskBytes / 512 - 34); // last usable
        BinaryPrimitives.WriteUInt64LittleEndian(header[72..], 2);                   // entries
        BinaryPrimitives.WriteUInt32LittleEndian(header[80..], 128);                 // entry count
        BinaryPrimitives.WriteUInt32LittleEndian(header[84..], 128);                 // entry size
        return disk;
    }

    /// <summary>A disk with one MBR partition.</summary>
    public static byte[] Mbr()
    {
        var disk = new byte[DiskBytes];
        WriteMbr(disk, type: 0x83, start: 64, sectors: 1024);
        return disk;
    }

    /// <summary>A disc of 300 blocks.</summary>
    public static byte[] Iso()
    {
        var disc = new byte[300 * 2048];
        WriteIsoDescriptor(disc, blocks: 300);
        return disc;
    }

    /// <summary>A LUKS volume whose payload starts at 4096 sectors of 512 bytes.</summary>
    public static byte[] Luks(ushort version, string cipher = "aes")
    {
        var volume = new byte[4096 * 512 + DiskBytes];
        "LUKS"u8.CopyTo(volume);
        volume[4] = 0xBA;
        volume[5] = 0xBE;
        BinaryPrimitives.WriteUInt16BigEndian(volume.AsSpan(6), version);
        System.Text.Encoding.ASCII.GetBytes(cipher).CopyTo(volume, 8);
        BinaryPrimitives.WriteUInt32BigEndian(volume.AsSpan(104), 4096);             // payload sector
        return volume;
    }

    public static void WriteMbr(byte[] disk, byte type, uint start, uint sectors)
    {
        var entry = disk.AsSpan(446, 16);
        entry[4] = type;
        BinaryPrimitives.WriteUInt32LittleEndian(entry[8..], start);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[12..], sectors);
        disk[510] = 0x55;
        disk[511] = 0xAA;
    }

    public static void WriteIsoDescriptor(byte[] disc, uint blocks)
    {
        var descriptor = disc.AsSpan(0x8000, 2048);
        descriptor[0] = 1;                                                           // primary volume descriptor
        "CD001"u8.CopyTo(descriptor[1..]);
        BinaryPrimitives.WriteUInt32LittleEndian(descriptor[80..], blocks);
        BinaryPrimitives.WriteUInt16LittleEndian(descriptor[128..], 2048);           // bytes in a block
    }
}
