using System.Buffers.Binary;
using System.Text;

namespace Registry.Hostile;

/// <summary>A VHD. Sound unless told otherwise: an empty dynamic disk of 4 MiB.</summary>
internal sealed record VhdBytes
{
    public ulong DiskBytes { get; init; } = 4 << 20;
    public uint DiskType { get; init; } = 3;
    public ulong DataOffset { get; init; } = 512;
    public ulong TableOffset { get; init; } = 1536;
    public uint Entries { get; init; } = 2;
    public uint BlockBytes { get; init; } = 2 << 20;
    public string Creator { get; init; } = "\0\0\0\0";

    /// <summary>Of 4 heads and 17 sectors.</summary>
    public ushort Cylinders { get; init; }

    public bool GoodChecksum { get; init; } = true;
    public bool HasEndFooter { get; init; } = true;

    /// <summary>What lies in front of the footer of a fixed disk.</summary>
    public byte[] Content { get; init; } = [];

    /// <summary>Footer, dynamic header, block table, footer.</summary>
    public byte[] ToBytes()
    {
        if (DiskType == 2)
            return [.. Content, .. Footer()];

        var header = new byte[1024];
        "cxsparse"u8.CopyTo(header);
        BinaryPrimitives.WriteUInt64BigEndian(header.AsSpan(8), ulong.MaxValue);     // no further header
        BinaryPrimitives.WriteUInt64BigEndian(header.AsSpan(16), TableOffset);
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(24), 0x00010000);        // version
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(28), Entries);
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(32), BlockBytes);
        WriteChecksum(header, 36);
        var table = new byte[512];
        table.AsSpan().Fill(0xFF);                                                   // nothing allocated
        return [.. Footer(), .. header, .. table, .. HasEndFooter ? Footer() : new byte[512]];
    }

    private byte[] Footer()
    {
        var footer = new byte[512];
        "conectix"u8.CopyTo(footer);
        BinaryPrimitives.WriteUInt32BigEndian(footer.AsSpan(8), 2);                  // features: reserved, always set
        BinaryPrimitives.WriteUInt32BigEndian(footer.AsSpan(12), 0x00010000);        // version
        BinaryPrimitives.WriteUInt64BigEndian(footer.AsSpan(16), DiskType == 2 ? ulong.MaxValue : DataOffset);
        BinaryPrimitives.WriteUInt64BigEndian(footer.AsSpan(40), DiskBytes);         // original size
        BinaryPrimitives.WriteUInt64BigEndian(footer.AsSpan(48), DiskBytes);         // current size
        Encoding.ASCII.GetBytes(Creator).CopyTo(footer, 28);
        BinaryPrimitives.WriteUInt16BigEndian(footer.AsSpan(56), Cylinders);
        (footer[58], footer[59]) = (4, 17);
        BinaryPrimitives.WriteUInt32BigEndian(footer.AsSpan(60), DiskType);
        WriteChecksum(footer, 64);
        return footer;
    }

    private void WriteChecksum(byte[] structure, int offset)
    {
        var sum = structure.Aggregate(0u, (total, value) => total + value);
        BinaryPrimitives.WriteUInt32BigEndian(structure.AsSpan(offset), GoodChecksum ? ~sum : 0xDEADBEEF);
    }
}
