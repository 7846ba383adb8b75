using System.Numerics;

namespace Registry.Hostile;

/// <summary>A VHDX with every checksum right. Sound unless told otherwise: a disk of 2 MiB in blocks of 1 MiB, the first
/// of them stored.</summary>
/// <remarks>Headers at 64 and 128 KiB, region tables at 192 and 256 KiB, metadata at 1 MiB, block table at 2 MiB, blocks
/// from 3 MiB on.</remarks>
internal sealed record VhdxBytes
{
    public const ulong Present = 6;
    private const int Mebibyte = 1 << 20;

    public ushort Version { get; init; } = 1;
    public uint LogId { get; init; }
    public bool HasHeaders { get; init; } = true;
    public uint RegionCount { get; init; } = 2;
    public ulong TableOffset { get; init; } = 2 * Mebibyte;
    public uint TableLength { get; init; } = Mebibyte;
    public ulong MetadataOffset { get; init; } = Mebibyte;
    public uint MetadataLength { get; init; } = Mebibyte;

    /// <summary>A third region, which nobody knows and everybody must.</summary>
    public bool HasStrangeRegion { get; init; }

    public string MetadataMagic { get; init; } = "metadata";
    public uint ItemCount { get; init; } = 3;
    public uint ItemOffset { get; init; } = 64 << 10;
    public uint BlockBytes { get; init; } = Mebibyte;
    public uint Flags { get; init; }
    public ulong DiskBytes { get; init; } = 2 * Mebibyte;
    public uint SectorBytes { get; init; } = 512;

    /// <summary>Identity of a fourth metadata item; empty for none.</summary>
    public Guid MoreItem { get; init; }

    public ulong FirstBlock { get; init; } = (3 * Mebibyte) | Present;
    public ulong SecondBlock { get; init; }
    public int FileBytes { get; init; } = 4 * Mebibyte;

    public static Guid ParentLocator { get; } = new("a8d35f2d-b30b-454d-abf7-d3d84834ab0c");

    public byte[] ToBytes()
    {
        var file = new byte[FileBytes].Text(0, "vhdxfile");
        for (var copy = 1; copy <= 2 && HasHeaders; copy++)
        {
            var at = copy * (64 << 10);
            file.Text(at, "head").Little64(at + 8, (ulong)copy).Little32(at + 48, LogId);
            file.Little32(at + 64, (uint)Version << 16).Little32(at + 68, Mebibyte);
            Sign(file, at, 4096);
        }

        WriteRegions(file, 192 << 10);
        WriteRegions(file, 256 << 10);
        WriteMetadata(file, Mebibyte);
        return file.Little64(2 * Mebibyte, FirstBlock).Little64((2 * Mebibyte) + 8, SecondBlock);
    }

    private void WriteRegions(byte[] file, int at)
    {
        file.Text(at, "regi").Little32(at + 8, RegionCount);
        Entry(0, new("2dc27766-f623-4200-9d64-115e9bfd4a08"), TableOffset, TableLength);
        Entry(1, new("8b7ca206-4790-4b9a-b8fe-575f050f886e"), MetadataOffset, MetadataLength);
        if (HasStrangeRegion)
            Entry(2, new("11111111-2222-3333-4444-555555555555"), 3 * Mebibyte, Mebibyte);
        Sign(file, at, 64 << 10);

        void Entry(int index, Guid id, ulong offset, uint length)
        {
            var start = at + 16 + (index * 32);
            id.TryWriteBytes(file.AsSpan(start));
            file.Little64(start + 16, offset).Little32(start + 24, length).Little32(start + 28, 1); // required
        }
    }

    private void WriteMetadata(byte[] file, int at)
    {
        file.Text(at, MetadataMagic).Little32(at + 8, ItemCount << 16);
        Item(0, new("caa16737-fa36-4d43-b3b6-33f0aa44e76b"), ItemOffset, 8);             // file parameters
        Item(1, new("2fa54224-cd1b-4876-b211-5dbed83bf4b8"), (64 << 10) + 8, 8);         // virtual size
        Item(2, new("8141bf1d-a96f-4709-ba47-f233a8faab5f"), (64 << 10) + 16, 4);        // logical sector
        Item(3, MoreItem, (64 << 10) + 24, 8);
        var items = at + (64 << 10);
        file.Little32(items, BlockBytes).Little32(items + 4, Flags);
        file.Little64(items + 8, DiskBytes).Little32(items + 16, SectorBytes);

        void Item(int index, Guid id, uint offset, uint length)
        {
            var start = at + 32 + (index * 32);
            id.TryWriteBytes(file.AsSpan(start));
            file.Little32(start + 16, offset).Little32(start + 20, length).Little32(start + 24, 4); // required
        }
    }

    private static void Sign(byte[] file, int at, int length)
    {
        var crc = uint.MaxValue;
        foreach (var value in file.AsSpan(at, length))
            crc = BitOperations.Crc32C(crc, value);
        file.Little32(at + 4, ~crc);
    }
}
