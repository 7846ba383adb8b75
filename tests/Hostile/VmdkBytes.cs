using System.Buffers.Binary;
using System.Text;

namespace Registry.Hostile;

/// <summary>A VMDK sparse extent with an embedded descriptor. Sound unless told otherwise: an empty 1 MiB
/// disk.</summary>
internal sealed record VmdkBytes
{
    public uint Version { get; init; } = 1;
    public ulong CapacitySectors { get; init; } = 2048;
    public ulong GrainSectors { get; init; } = 128;
    public ulong DescriptorOffset { get; init; } = 1;
    public ulong DescriptorSectors { get; init; } = 20;
    public uint TableEntries { get; init; } = 512;
    public ulong DirectoryOffset { get; init; } = 21;
    public string CreateType { get; init; } = "monolithicSparse";
    public string ParentId { get; init; } = "ffffffff";
    public string Extent { get; init; } = "RW 2048 SPARSE \"disk.vmdk\"";
    public string MoreLines { get; init; } = "";

    /// <summary>Bytes behind the NUL that ends the descriptor.</summary>
    public string Leftover { get; init; } = "";

    /// <summary>A second header a sector before the end, between its two markers.</summary>
    public VmdkBytes? Footer { get; init; }

    public byte[] ToBytes()
    {
        var file = new byte[21 * 512 + 64 * 1024 + (Footer is null ? 0 : 3 * 512)];
        WriteHeader(file);
        var descriptor =
            $"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID={ParentId}\ncreateType=\"{CreateType}\"\n"
            + $"{Extent}\n{MoreLines}\n# The Disk Data Base\nddb.adapterType = \"ide\"\n\0{Leftover}";
        Encoding.Latin1.GetBytes(descriptor).CopyTo(file, 512);
        Footer?.WriteHeader(file.AsSpan(file.Length - 1024));
        return file;
    }

    private void WriteHeader(Span<byte> sector)
    {
        "KDMV"u8.CopyTo(sector);
        BinaryPrimitives.WriteUInt32LittleEndian(sector[4..], Version);
        BinaryPrimitives.WriteUInt32LittleEndian(sector[8..], 3);                  // flags: line ends, second directory
        BinaryPrimitives.WriteUInt64LittleEndian(sector[12..], CapacitySectors);
        BinaryPrimitives.WriteUInt64LittleEndian(sector[20..], GrainSectors);
        BinaryPrimitives.WriteUInt64LittleEndian(sector[28..], DescriptorOffset);
        BinaryPrimitives.WriteUInt64LittleEndian(sector[36..], DescriptorSectors);
        BinaryPrimitives.WriteUInt32LittleEndian(sector[44..], TableEntries);
        BinaryPrimitives.WriteUInt64LittleEndian(sector[48..], 21);                // second grain directory
        BinaryPrimitives.WriteUInt64LittleEndian(sector[56..], DirectoryOffset);
        BinaryPrimitives.WriteUInt64LittleEndian(sector[64..], 128);               // overhead
        "\n \r\n"u8.CopyTo(sector[73..]);                                          // line-end check
    }
}
