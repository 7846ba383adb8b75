using System.Buffers.Binary;
using System.Text;

namespace Registry.Hostile;

/// <summary>Writes one field over the bytes of a file.</summary>
internal static class Poke
{
    public static byte[] Big32(this byte[] file, int offset, uint value)
    {
        BinaryPrimitives.WriteUInt32BigEndian(file.AsSpan(offset), value);
        return file;
    }

    public static byte[] Big64(this byte[] file, int offset, ulong value)
    {
        BinaryPrimitives.WriteUInt64BigEndian(file.AsSpan(offset), value);
        return file;
    }

    public static byte[] Little32(this byte[] file, int offset, uint value)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(offset), value);
        return file;
    }

    public static byte[] Little64(this byte[] file, int offset, ulong value)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(offset), value);
        return file;
    }

    public static byte[] Text(this byte[] file, int offset, string text)
    {
        Encoding.Latin1.GetBytes(text, file.AsSpan(offset));
        return file;
    }

    /// <summary>Makes the file a disc too: a volume descriptor at 32 KiB, the file as long as that needs.</summary>
    public static byte[] AsDisc(this byte[] file)
    {
        var disc = Long(file, 160 * 2048);
        PlainDiskBytes.WriteIsoDescriptor(disc, blocks: 160);
        return disc;
    }

    /// <summary>Makes the file a partitioned disk too.</summary>
    public static byte[] AsPartitioned(this byte[] file)
    {
        PlainDiskBytes.WriteMbr(file, type: 0x83, start: 64, sectors: 8);
        return file;
    }

    /// <summary>Makes the file a GPT disk too.</summary>
    public static byte[] AsGpt(this byte[] file)
    {
        var gpt = PlainDiskBytes.Gpt();
        gpt.AsSpan(446, 512 + 92 - 446).CopyTo(file.AsSpan(446));
        return file;
    }

    /// <summary>Makes the file a fixed VHD too.</summary>
    public static byte[] AsFixedVhd(this byte[] file) =>
        new VhdBytes { DiskType = 2, DiskBytes = (ulong)file.Length, Content = file }.ToBytes();

    private static byte[] Long(byte[] file, int length)
    {
        if (file.Length < length)
            Array.Resize(ref file, length);
        return file;
    }
}
