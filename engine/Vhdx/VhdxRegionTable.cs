using System.Buffers.Binary;
using Registry.Engine.Disks;

namespace Registry.Engine.Vhdx;

/// <summary>A region of a VHDX file.</summary>
/// <param name="Offset">First byte in the file; a multiple of 1 MiB.</param>
/// <param name="Length">Length in bytes; a multiple of 1 MiB.</param>
internal readonly record struct VhdxRegion(ulong Offset, uint Length)
{
    /// <summary>First byte after the region.</summary>
    /// <exception cref="ImageFormatException">Outside of what a file can have.</exception>
    public long End => Offset <= (ulong)long.MaxValue - Length
        ? (long)Offset + Length
        : throw new ImageFormatException(FormatError.OutsideFile, "A VHDX region lies outside the file.");
}

/// <summary>The table that says where the block table and the metadata of a VHDX are. Little-endian.</summary>
/// <param name="BlockTable">The block allocation table.</param>
/// <param name="Metadata">The metadata.</param>
internal readonly record struct VhdxRegionTable(VhdxRegion BlockTable, VhdxRegion Metadata)
{
    /// <summary>Size in bytes.</summary>
    public const int Size = 64 * 1024;

    /// <summary>First byte in the file.</summary>
    public const int FileOffset = 192 * 1024;

    private const int EntriesOffset = 16;
    private const int EntrySize = 32;
    private const int MaxEntries = 2047;
    private const uint AlignmentBytes = 1 << 20;
    private static readonly Guid BlockTableId = new("2dc27766-f623-4200-9d64-115e9bfd4a08");
    private static readonly Guid MetadataId = new("8b7ca206-4790-4b9a-b8fe-575f050f886e");

    /// <summary>Reads and checks a table.</summary>
    /// <param name="bytes">At least <see cref="Size"/> bytes.</param>
    /// <exception cref="ImageFormatException">Refused.</exception>
    public static VhdxRegionTable Parse(ReadOnlySpan<byte> bytes)
    {
        var count = BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]);
        if (!bytes.StartsWith("regi"u8))
            throw new ImageFormatException(FormatError.BadMagic, "The VHDX region table has no signature.", FileOffset);

        if (count > MaxEntries)
        {
            throw new ImageFormatException(
                FormatError.TableTooLarge, $"A VHDX region table of {count} entries is too large.", FileOffset);
        }

        if (VhdxChecksum.Compute(bytes[..Size]) != BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]))
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The checksum of the VHDX region table is wrong.", FileOffset);
        }

        VhdxRegion? blockTable = null;
        VhdxRegion? metadata = null;
        for (var i = 0; i < count; i++)
        {
            var entry = bytes.Slice(EntriesOffset + (i * EntrySize), EntrySize);
            var id = new Guid(entry[..16]);
            var region = new VhdxRegion(
                Offset: BinaryPrimitives.ReadUInt64LittleEndian(entry[16..]),
                Length: BinaryPrimitives.ReadUInt32LittleEndian(entry[24..]));
            var isRequired = (BinaryPrimitives.ReadUInt32LittleEndian(entry[28..]) & 1) != 0;
            if (id == BlockTableId)
                blockTable = Once(blockTable, region);
            else if (id == MetadataId)
                metadata = Once(metadata, region);
            else if (isRequired)
            {
                throw new ImageFormatException(
                    FormatError.UnknownFeature, $"The VHDX requires an unknown region {id}.", FileOffset);
            }
        }

        return new VhdxRegionTable(
            blockTable ?? throw Missing("block table"),
            metadata ?? throw Missing("metadata"));
    }

    private static ImageFormatException Missing(string region) =>
        new(FormatError.InvalidHeader, $"The VHDX has no {region}.", FileOffset);

    private static VhdxRegion Once(VhdxRegion? known, VhdxRegion region)
    {
        if (known is not null)
            throw new ImageFormatException(FormatError.InvalidTableEntry, "The VHDX lists a region twice.", FileOffset);

        if (region.Offset < AlignmentBytes || region.Offset % AlignmentBytes != 0
            || region.Length == 0 || region.Length % AlignmentBytes != 0)
        {
            throw new ImageFormatException(
                FormatError.Misaligned, "A VHDX region is not aligned to 1 MiB.", FileOffset);
        }

        return region;
    }
}
