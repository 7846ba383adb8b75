namespace Registry.Engine.Tests.Qcow2.Checking;

/// <summary>Ways to damage an image: a name, and what to spoil (false where the image has no such thing).</summary>
internal static class Damage
{
    private const uint BitmapsExtension = 0x23852875;

    /// <summary>Those that a healthy image is tried with: all in a full run; else half of them, the other half with the image
    /// after it.</summary>
    /// <param name="healthy">One of <see cref="CheckBases.Names"/>.</param>
    public static IEnumerable<(string Name, Func<QcowPoke, bool> Spoil)> Of(string healthy)
    {
        var parity = CheckBases.Names.Index().Single(name => name.Item == healthy).Index % 2;
        return All.Where((_, index) => TestRun.IsFull || index % 2 == parity);
    }

    public static IReadOnlyList<(string Name, Func<QcowPoke, bool> Spoil)> All { get; } =
    [
        ("nothing", _ => true),
        ("data counted twice", q => q.SetCount(q.DataCluster(), 2)),
        ("data counted often", q => q.SetCount(q.DataCluster(), 200)),
        ("data not counted", q => q.SetCount(q.DataCluster(), 0)),
        ("L2 table not counted", q => q.FirstL2 >= 0 && q.SetCount(q.FirstL2 / q.Cluster, 0)),
        ("L1 table not counted", q => q.SetCount(q.L1 / q.Cluster, 0)),
        ("header counted twice", q => q.SetCount(0, 2)),
        ("free cluster counted", q => q.SetCount((q.Bytes.Length / q.Cluster) - 1, 1) && q.Resize(q.Bytes.Length + 7)),
        ("all counts zero", q => ZeroBlock(q)),
        ("L1 copied flag cleared", q => Xor(q, q.FirstL1Entry, QcowPoke.Copied)),
        ("data copied flag flipped", q => Xor(q, q.DataEntry(), QcowPoke.Copied)),
        ("second data copied flag flipped", q => Xor(q, q.DataEntry(1), QcowPoke.Copied)),
        ("compressed copied flag set", q => Xor(q, q.CompressedEntry, QcowPoke.Copied)),
        ("L2 reserved low bit", q => Xor(q, q.DataEntry(), 1 << 3)),
        ("L2 reserved high bit", q => Xor(q, q.DataEntry(), 1UL << 57)),
        ("L1 reserved low bit", q => Xor(q, q.FirstL1Entry, 1 << 2)),
        ("L1 reserved high bit", q => Xor(q, q.FirstL1Entry, 1UL << 60)),
        ("L1 entry with nothing but a flag", q => EmptyL1(q, QcowPoke.Copied)),
        ("L1 entry with nothing but a reserved bit", q => EmptyL1(q, 1UL << 58)),
        ("data unaligned", q => q.Cluster > 512 && Xor(q, q.DataEntry(), 512)),
        ("zero cluster unaligned", q => q.Cluster > 512 && Xor(q, q.ZeroEntry, 512)),
        ("zero flag on data", q => Xor(q, q.DataEntry(), 1)),
        ("data outside", q => Outside(q, q.DataEntry(), 5)),
        ("data right behind the end", q => Outside(q, q.DataEntry(), 0)),
        ("data far outside", q => Xor(q, q.DataEntry(), 1UL << 54)),
        ("compressed outside", q => Xor(q, q.CompressedEntry, 1UL << 40)),
        ("compressed longer", q => Xor(q, q.CompressedEntry, 1UL << (62 - ((int)q.Header.ClusterBits - 8)))),
        ("L2 table outside", q => Outside(q, q.FirstL1Entry, 3)),
        ("L2 table unaligned", q => q.Cluster > 512 && Xor(q, q.FirstL1Entry, 512)),
        ("L2 table on the header", q => q.FirstL1Entry >= 0 && q.Set64(q.FirstL1Entry, QcowPoke.Copied)),
        ("L2 table on the L1 table", q => PointAt(q, q.FirstL1Entry, q.L1)),
        ("L2 table used twice", q => EmptyL1(q, QcowPoke.Copied + (ulong)Math.Max(q.FirstL2, 0))),
        ("data on the header", q => PointAt(q, q.EmptyEntry, q.Cluster, minus: q.Cluster)),
        ("data on the L1 table", q => PointAt(q, q.EmptyEntry, q.L1)),
        ("data on the L2 table", q => PointAt(q, q.EmptyEntry, q.FirstL2)),
        ("data on the refcount table", q => PointAt(q, q.EmptyEntry, q.RefcountTable)),
        ("data on a refcount block", q => PointAt(q, q.EmptyEntry, (int)q.U64(q.RefcountTable))),
        ("data used twice", q => q.DataEntry() >= 0 && PointAt(q, q.EmptyEntry, q.DataCluster() * q.Cluster)),
        ("compressed used twice", q => q.CompressedEntry >= 0 && q.EmptyEntry >= 0
            && q.Set64(q.EmptyEntry, q.U64(q.CompressedEntry))),
        ("refcount block with reserved bit", q => Xor(q, q.RefcountTable, 4)),
        ("refcount block unaligned", q => q.Cluster > 512 && Xor(q, q.RefcountTable, 512)),
        ("refcount block outside", q => Xor(q, q.RefcountTable, 1UL << 50)),
        ("refcount block far outside", q => Xor(q, q.RefcountTable, QcowPoke.Copied)),
        ("refcount block missing", q => q.Set64(q.RefcountTable, 0)),
        ("refcount block used twice", q => q.Set64(q.RefcountTable + q.Cluster - 8, q.U64(q.RefcountTable))),
        ("refcount block on data", q => q.DataCluster() > 0
            && q.Set64(q.RefcountTable, (ulong)q.DataCluster() * (ulong)q.Cluster)),
        ("refcount table of no clusters", q => q.Set32(56, 0)),
        ("refcount table outside", q => q.Set64(48, (ulong)q.Cluster << 12)),
        ("refcount table unaligned", q => q.Set64(48, 8)),
        ("L1 table outside", q => q.Set64(40, (ulong)q.Cluster << 12)),
        ("L1 table too short", q => q.Set32(36, 0)),
        ("snapshot table unaligned", q => q.Set64(64, 8)),
        ("too many snapshots", q => q.Set32(60, 65537)),
        ("snapshot L1 unaligned", q => q.Header.SnapshotCount > 0 && Xor(q, q.Snapshots, 256)),
        ("snapshot L1 outside", q => q.Header.SnapshotCount > 0 && Xor(q, q.Snapshots, 1UL << 45)),
        ("snapshot L1 too long", q => q.Header.SnapshotCount > 0 && q.Set32(q.Snapshots + 8, 5 << 20)),
        ("snapshot L1 longer", q => q.Header.SnapshotCount > 0 && q.Set32(q.Snapshots + 8, 40)),
        ("snapshot without extra data", q => q.Header.SnapshotCount > 0 && q.Set32(q.Snapshots + 36, 0)),
        ("snapshot with half its extra data", q => q.Header.SnapshotCount > 0 && q.Set32(q.Snapshots + 36, 8)),
        ("snapshot with too much extra data", q => q.Header.SnapshotCount > 0 && q.Set32(q.Snapshots + 36, 1025)),
        ("snapshot forgotten", q => q.Header.SnapshotCount > 0 && q.Set32(60, q.Header.SnapshotCount - 1)),
        ("bitmaps not consistent", q => q.Extension(BitmapsExtension) > 0 && q.Set64(88, 0)),
        ("bitmap directory malformed", q => q.Extension(BitmapsExtension) is > 0 and var at
            && q.Set32((int)q.U64(at + 16) + 8, 0)),
        ("bitmap count wrong", q => q.Extension(BitmapsExtension) is > 0 and var at && q.Set32(at, 9)),
        ("bitmap table entry reserved", q => q.Extension(BitmapsExtension) is > 0 and var at
            && Xor(q, (int)q.U64((int)q.U64(at + 16)), 1UL << 60)),
        ("bitmap in use", q => q.Extension(BitmapsExtension) is > 0 and var at
            && q.Set32((int)q.U64(at + 16) + 12, 1)),
        ("subclusters both data and zero", q => q.Header.L2EntrySize == 16 && q.DataEntry() > 0
            && q.Set64(q.DataEntry() + 8, 0x0000_0003_0000_0001)),
        ("subclusters of nothing", q => q.Header.L2EntrySize == 16 && q.EmptyEntry > 0 && q.Set64(q.EmptyEntry + 8, 6)),
        ("subclusters of a compressed cluster", q => q.Header.L2EntrySize == 16 && q.CompressedEntry > 0
            && q.Set64(q.CompressedEntry + 8, 6)),
        ("preallocated subclusters unaligned", q => q.Header.L2EntrySize == 16 && q.DataEntry() > 0
            && q.Set64(q.DataEntry() + 8, 0xF_0000_0000) && Xor(q, q.DataEntry(), 512)),
        ("dirty", q => q.Header.Version == 3 && Xor(q, 72, 1)),
        ("corrupt", q => q.Header.Version == 3 && Xor(q, 72, 2)),
        ("unknown feature", q => q.Header.Version == 3 && Xor(q, 72, 1 << 20)),
        ("compression type without its bit", q => q.Header.Version == 3 && Xor(q, 72, 1 << 3)),
        ("cut by half a cluster", q => q.Resize(q.Bytes.Length - (q.Cluster / 2))),
        ("cut by a cluster", q => q.Resize(q.Bytes.Length - q.Cluster)),
        ("cut in half", q => q.Resize(q.Bytes.Length / 2)),
        ("cut to its header", q => q.Resize(q.Cluster)),
        ("longer by a bit", q => q.Resize(q.Bytes.Length + 100)),
        ("longer by clusters", q => q.Resize(q.Bytes.Length + (3 * q.Cluster))),
    ];

    private static bool Xor(QcowPoke q, int position, ulong bits) =>
        position >= 0 && q.Set64(position, q.U64(position) ^ bits);

    private static bool Outside(QcowPoke q, int position, int clusters) =>
        position >= 0 && q.Set64(position, QcowPoke.Copied
            | (ulong)(((q.Bytes.Length + q.Cluster - 1) / q.Cluster) + clusters) * (ulong)q.Cluster);

    private static bool PointAt(QcowPoke q, int position, long offset, long minus = 0) =>
        position >= 0 && offset > 0 && q.Set64(position, QcowPoke.Copied | (ulong)(offset - minus));

    private static bool EmptyL1(QcowPoke q, ulong value)
    {
        for (var i = 0; i < q.Header.L1Entries; i++)
        {
            if (q.U64(q.L1 + (i * 8)) == 0)
            {
                return q.Set64(q.L1 + (i * 8), value);
            }
        }

        return false;
    }

    private static bool ZeroBlock(QcowPoke q)
    {
        q.Bytes.AsSpan((int)q.U64(q.RefcountTable), q.Cluster).Clear();
        return true;
    }
}
