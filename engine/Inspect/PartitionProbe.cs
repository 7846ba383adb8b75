using System.Buffers.Binary;
using Registry.Engine.Disks;

namespace Registry.Engine.Inspect;

/// <summary>Disks that start with an MBR or GPT partition table.</summary>
/// <remarks>What follows the boot signature must also look like partition entries: boot sectors of file systems and
/// kernel images end in the same two bytes.</remarks>
internal sealed class PartitionProbe : FormatProbe
{
    private const int SectorBytes = 512;
    private const int EntriesOffset = 446;
    private const int EntrySize = 16;
    private const int EntryCount = 4;
    private const int SignatureOffset = 510;
    private const byte ProtectiveType = 0xEE;
    private const int GptHeaderSize = 92;

    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Gpt;

    /// <inheritdoc/>
    public override bool Matches(in StreamSample sample)
    {
        if (sample.Head.Length < SectorBytes || sample.Head[SignatureOffset] != 0x55
            || sample.Head[SignatureOffset + 1] != 0xAA)
            return false;

        if (GptHeaderOffset(sample.Head) > 0)
            return true;

        var used = 0;
        for (var i = 0; i < EntryCount; i++)
        {
            var entry = MbrEntry.Parse(sample.Head.Slice(EntriesOffset + (i * EntrySize), EntrySize));
            if (!entry.IsSane)
                return false;
            used += entry.IsUsed ? 1 : 0;
        }

        return used > 0;
    }

    /// <inheritdoc/>
    public override long? Check(in StreamSample sample)
    {
        var gptOffset = GptHeaderOffset(sample.Head);
        Span<MbrEntry> entries = stackalloc MbrEntry[EntryCount];
        for (var i = 0; i < EntryCount; i++)
        {
            var offset = EntriesOffset + (i * EntrySize);
            entries[i] = MbrEntry.Parse(sample.Head.Slice(offset, EntrySize));
            CheckEntry(entries[i], offset, gptOffset > 0, sample);
            for (var other = 0; other < i; other++)
            {
                if (entries[i].Overlaps(entries[other]))
                    throw new ImageFormatException(FormatError.InvalidTableEntry, "Two partitions overlap.", offset);
            }
        }

        if (gptOffset > 0)
            CheckGptHeader(sample, gptOffset);

        return sample.Length;
    }

    private static void CheckEntry(MbrEntry entry, int offset, bool hasGpt, in StreamSample sample)
    {
        if (!entry.IsSane)
            throw new ImageFormatException(FormatError.InvalidTableEntry, "A partition entry is malformed.", offset);

        if (entry.Type == ProtectiveType && (entry.Start != 1 || !hasGpt))
        {
            throw new ImageFormatException(
                FormatError.InvalidTableEntry, "A protective partition does not protect a GPT.", offset);
        }

        if (entry.IsUsed && entry.Type != ProtectiveType && sample.EndsBefore((long)entry.Start * SectorBytes))
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, "A partition starts behind the end of the disk.", offset);
        }
    }

    private static void CheckGptHeader(in StreamSample sample, int offset)
    {
        if (sample.EndsBefore(offset + GptHeaderSize))
            throw new ImageFormatException(FormatError.Truncated, "The disk ends inside its GPT header.", offset);

        var header = sample.Head[offset..];
        var revision = BinaryPrimitives.ReadUInt32LittleEndian(header[8..]);
        var headerSize = BinaryPrimitives.ReadUInt32LittleEndian(header[12..]);
        var ownSector = BinaryPrimitives.ReadUInt64LittleEndian(header[24..]);
        var lastUsable = BinaryPrimitives.ReadUInt64LittleEndian(header[48..]);
        var entryCount = BinaryPrimitives.ReadUInt32LittleEndian(header[80..]);
        var entrySize = BinaryPrimitives.ReadUInt32LittleEndian(header[84..]);
        if (revision != 0x00010000 || headerSize is < GptHeaderSize or > SectorBytes || ownSector != 1
            || entryCount > 1024 || entrySize is < 128 or > 4096)
        {
            throw new ImageFormatException(FormatError.InvalidHeader, "The GPT header is malformed.", offset);
        }

        if (sample.Length is { } length && lastUsable >= (ulong)(length / offset))
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, "The GPT describes more than the disk has.", offset);
        }
    }

    // Sector 1, for sectors of 512 or 4096 bytes: the offset is the sector size too.
    private static int GptHeaderOffset(ReadOnlySpan<byte> head)
    {
        foreach (var sectorBytes in (ReadOnlySpan<int>)[512, 4096])
        {
            if (head.Length >= sectorBytes + 8 && head.Slice(sectorBytes, 8).SequenceEqual("EFI PART"u8))
                return sectorBytes;
        }

        return 0;
    }

    /// <summary>One of the four partition entries of an MBR.</summary>
    private readonly record struct MbrEntry(byte Status, byte Type, uint Start, uint Sectors)
    {
        public bool IsUsed => Type != 0;

        public bool IsSane => Status is 0 or 0x80 && (!IsUsed || (Start > 0 && Sectors > 0));

        public static MbrEntry Parse(ReadOnlySpan<byte> bytes) => new(
            Status: bytes[0],
            Type: bytes[4],
            Start: BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]),
            Sectors: BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]));

        // A hybrid MBR repeats inside the protective range what the GPT lists: that is no overlap.
        public bool Overlaps(MbrEntry other) =>
            IsUsed && other.IsUsed && Type != ProtectiveType && other.Type != ProtectiveType
            && Start < (ulong)other.Start + other.Sectors && other.Start < (ulong)Start + Sectors;
    }
}
