using System.Buffers.Binary;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <summary>How one view of an image is decoded.</summary>
/// <param name="Header">The image's header.</param>
/// <param name="VirtualSize">Bytes of the disk: the active one or a snapshot's.</param>
/// <param name="FileLength">Bytes of the image's own file.</param>
/// <param name="DataLength">Bytes of the file that plain clusters are in.</param>
/// <param name="IsStrict">Whether content past the file's end is an error; else it reads as zeroes, as in QEMU.</param>
/// <param name="IsExact">Whether runs are told apart as qemu-img tells them apart: zeroes and holes keep the place that
/// is allocated for them, and content past the file's end is content.</param>
/// <param name="IsByGuest">Whether the bytes of plain clusters are addressed by guest offset.</param>
internal sealed record L2View(
    QcowHeader Header, long VirtualSize, long FileLength, long DataLength, bool IsStrict, bool IsExact, bool IsByGuest);

/// <summary>Turns L2 entries into merged extents, in guest order.</summary>
/// <param name="view">What is decoded.</param>
/// <param name="audit">Sees every stored cluster; null when nobody wants to know.</param>
internal sealed class L2Decoder(L2View view, ClusterAudit? audit)
{
    private const int SubclustersPerCluster = 32;

    private readonly int clusterBits = (int)view.Header.ClusterBits;
    private readonly int clusterSize = view.Header.ClusterSize;
    private readonly int entrySize = view.Header.L2EntrySize;
    private readonly long coverage = view.Header.L2Coverage;
    private readonly bool extended = view.Header.L2EntrySize == 16;
    private readonly bool zeroFlagLegal = view.Header.Version >= 3;
    private readonly bool hasDataFile = view.Header.Incompatible.HasFlag(QcowIncompatible.DataFile);
    private readonly bool isEncrypted = view.Header.CryptMethod != 0;

    private long start;
    private long end;
    private Extent pending;

    /// <summary>Extents that cannot grow any more; the caller takes and clears them.</summary>
    public List<Extent> Ready { get; } = [];

    /// <summary>Starts a range; the one before must be finished.</summary>
    /// <param name="first">First guest byte asked for.</param>
    /// <param name="past">First guest byte not asked for.</param>
    public void Begin(long first, long past) => (start, end) = (first, past);

    /// <summary>Which entries of an L2 table the range touches, as first and past-the-last.</summary>
    public (int First, int End) EntriesNeeded(int l1Index)
    {
        var tableStart = l1Index * coverage;
        var first = Math.Max(0, start - tableStart) >> clusterBits;
        var past = (Math.Min(coverage, end - tableStart) + clusterSize - 1) >> clusterBits;
        return ((int)first, (int)past);
    }

    /// <summary>Adds what has no table.</summary>
    public void AddHole(long guest, long length) => Add(guest, length, ExtentKind.Hole, -1);

    /// <summary>Decodes entries of one table that follow each other.</summary>
    /// <param name="entries">The entries.</param>
    /// <param name="guest">First guest byte of the first one.</param>
    /// <exception cref="ImageFormatException">An entry is malformed.</exception>
    public void Decode(ReadOnlySpan<byte> entries, long guest)
    {
        for (var i = 0; i < entries.Length;)
        {
            var entry = new L2Entry(BinaryPrimitives.ReadUInt64BigEndian(entries[i..]));
            if (entry.Bits == 0)
            {
                // Whole runs of unallocated entries are skipped at once (an extended entry's second word is checked
                // too).
                var zeroes = entries[i..].IndexOfAnyExcept((byte)0);
                var run = (zeroes < 0 ? entries.Length - i : zeroes) / entrySize;
                if (run > 0)
                {
                    Add(guest, (long)run << clusterBits, ExtentKind.Hole, -1);
                    guest += (long)run << clusterBits;
                    i += run * entrySize;
                    continue;
                }
            }

            if (entry.IsCompressed)
            {
                AddCompressed(guest, entry);
            }
            else if (extended)
            {
                AddSubclusters(guest, entry, BinaryPrimitives.ReadUInt64BigEndian(entries[(i + 8)..]));
            }
            else
            {
                AddStandard(guest, entry);
            }

            guest += clusterSize;
            i += entrySize;
        }
    }

    /// <summary>Hands over what is left.</summary>
    public List<Extent> Finish()
    {
        if (pending.Length > 0)
        {
            Ready.Add(pending);
            pending = default;
        }

        return Ready;
    }

    private void AddStandard(long guest, L2Entry entry)
    {
        if (entry.IsZero && !zeroFlagLegal)
        {
            throw Bad(FormatError.InvalidTableEntry, "is marked zero, which version 2 does not know", guest);
        }

        if (!IsAllocated(entry))
        {
            Add(guest, clusterSize, entry.IsZero ? ExtentKind.Zero : ExtentKind.Hole, -1);
            return;
        }

        CheckStored(guest, entry.Offset);
        if (entry.IsZero)
        {
            AddPlace(guest, clusterSize, ExtentKind.Zero, entry.Offset);
        }
        else
        {
            AddData(guest, clusterSize, entry.Offset);
        }
    }

    private void AddSubclusters(long guest, L2Entry entry, ulong bitmap)
    {
        var allocated = (uint)bitmap;
        var zero = (uint)(bitmap >> 32);
        var hasPlace = IsAllocated(entry);
        if ((allocated & zero) != 0 || (allocated != 0 && !hasPlace))
        {
            throw Bad(FormatError.InvalidTableEntry, "has subclusters that contradict each other", guest);
        }

        if (hasPlace)
        {
            CheckStored(guest, entry.Offset);
        }

        var size = clusterSize / SubclustersPerCluster;
        for (var i = 0; i < SubclustersPerCluster; i++)
        {
            var within = (long)i * size;
            if ((allocated >> i & 1) != 0)
            {
                AddData(guest + within, size, entry.Offset + within);
                continue;
            }

            var kind = (zero >> i & 1) != 0 ? ExtentKind.Zero : ExtentKind.Hole;
            AddPlace(guest + within, size, kind, hasPlace ? entry.Offset + within : -1);
        }
    }

    /// <summary>Whether the entry has a place in the file: offset 0 is one only in an external data file.</summary>
    private bool IsAllocated(L2Entry entry) =>
        entry.Offset != 0 || (hasDataFile && (entry.Bits & L1Entry.Copied) != 0);

    /// <summary>Adds what reads as zeroes or comes from elsewhere, and may have a place kept for it.</summary>
    private void AddPlace(long guest, long length, ExtentKind kind, long offset) =>
        Add(guest, length, kind, view.IsExact ? offset : -1);

    private void CheckStored(long guest, long offset)
    {
        if ((offset & (clusterSize - 1)) != 0)
        {
            throw Bad(FormatError.Misaligned, $"is stored at {offset}, which is not aligned to a cluster", guest);
        }

        if (hasDataFile && offset != guest)
        {
            throw Bad(
                FormatError.InvalidTableEntry,
                $"is stored at {offset} of the data file, not at the same offset as on the disk",
                guest);
        }

        if (view.IsStrict && offset >= view.DataLength)
        {
            throw Bad(FormatError.OutsideFile, $"is stored at {offset}, outside the file", guest);
        }

        audit?.MarkData(offset >> clusterBits, guest);
    }

    private void AddData(long guest, int length, long offset)
    {
        // A file may end inside its last cluster where the disk does; anything else past the end was cut off.
        var visible = Math.Max(0, Math.Min(length, view.VirtualSize - guest));
        if (view.IsExact && !view.IsStrict)
        {
            Add(guest, length, ExtentKind.Data, offset);
            return;
        }

        var present = Math.Clamp(view.DataLength - offset, 0, visible);
        if (present < visible && view.IsStrict)
        {
            throw Bad(FormatError.OutsideFile, $"is stored at {offset}, partly outside the file", guest);
        }

        // The part of a last cluster that the disk does not see is cut off later.
        present = present == visible ? length : present;
        if (present > 0)
        {
            Add(guest, present, ExtentKind.Data, view.IsByGuest ? guest : offset);
        }

        Add(guest + present, length - present, ExtentKind.Zero, -1);
    }

    private void AddCompressed(long guest, L2Entry entry)
    {
        var offset = entry.CompressedOffset(clusterBits);
        var stored = entry.CompressedLength(clusterBits);
        if (hasDataFile || isEncrypted)
        {
            throw Bad(
                FormatError.InvalidTableEntry,
                $"is compressed, which is not allowed with {(hasDataFile ? "an external data file" : "encryption")}",
                guest);
        }

        if (offset >= view.FileLength)
        {
            throw Bad(FormatError.OutsideFile, $"is stored compressed at {offset}, outside the file", guest);
        }

        audit?.MarkCompressed(offset, stored, guest);
        if (pending.Length > 0)
        {
            Ready.Add(pending);
        }

        // Never clipped to the range, but a disk may end inside its last cluster.
        var length = Math.Min(clusterSize, view.VirtualSize - guest);
        pending = new Extent(guest, length, ExtentKind.Compressed, offset, stored);
    }

    private void Add(long guest, long length, ExtentKind kind, long offset)
    {
        if (guest < start)
        {
            var skip = start - guest;
            guest = start;
            length -= skip;
            offset = offset < 0 ? -1 : offset + skip;
        }

        length = Math.Min(length, end - guest);
        if (length <= 0)
        {
            return;
        }

        if (pending.Length > 0)
        {
            var continues = offset < 0
                ? pending.Offset < 0
                : pending.Offset >= 0 && pending.Offset + pending.Length == offset;
            if (pending.Kind == kind && continues)
            {
                pending = pending with
                {
                    Length = pending.Length + length,
                    StoredLength = kind == ExtentKind.Data ? pending.StoredLength + length : 0,
                };
                return;
            }

            Ready.Add(pending);
        }

        pending = new Extent(guest, length, kind, offset, kind == ExtentKind.Data ? length : 0);
    }

    private static ImageFormatException Bad(FormatError error, string what, long guest) =>
        new(error, $"The cluster at guest offset {guest} {what}.");
}
