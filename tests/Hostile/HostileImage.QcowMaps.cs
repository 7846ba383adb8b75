using System.IO.Compression;
using Registry.Engine.Disks;

namespace Registry.Hostile;

/// <content>qcow2 whose header is sound and whose tables are not: told once the whole file is there.</content>
internal sealed partial record HostileImage
{
    private const int Refcounts = 0x10000;
    private const int Data = 0x20000;
    private const int L1 = 0x30000;
    private const int L2 = 0x40000;
    private const ulong Copied = 1UL << 63;
    private const ulong Compressed = 1UL << 62;

    private static IEnumerable<HostileImage> QcowMaps()
    {
        yield return Map("L1 leads to itself", FormatError.OverlapsMetadata, (L1, L1 | Copied), (L1 + 8, L1 | Copied));
        yield return Map("L1 leads to the refcount table", FormatError.OverlapsMetadata, (L1, Refcounts | Copied));
        yield return Map("L1 leads to half a cluster", FormatError.Misaligned, (L1, (L2 + 512) | Copied));
        yield return Map("L1 leads past the end", FormatError.OutsideFile, (L1, 0x50000 | Copied));
        yield return Map("L1 leads far away", FormatError.OutsideFile, (L1, 0x00FF_FFFF_FFFF_0000 | Copied));
        yield return Map("L1 leads 4 GiB further", FormatError.OutsideFile, (L1, (1UL << 32) | L2 | Copied));
        yield return Map("two L1 entries, one L2 table", FormatError.SharedCluster, (L1, L2 | Copied), (L1 + 8, L2 | Copied));
        yield return Map("data past the end", FormatError.OutsideFile, (L1, L2 | Copied), (L2, 0x50000 | Copied));
        yield return Map("data far away", FormatError.OutsideFile, (L1, L2 | Copied), (L2, 0x00FF_FFFF_FFFF_0000));
        yield return Map("data 4 GiB further", FormatError.OutsideFile, (L1, L2 | Copied), (L2, (1UL << 32) | Data));
        yield return Map("data on half a cluster", FormatError.Misaligned, (L1, L2 | Copied), (L2, Data + 512));
        yield return Map("data on the L1 table", FormatError.OverlapsMetadata, (L1, L2 | Copied), (L2, L1 | Copied));
        yield return Map("data on its L2 table", FormatError.OverlapsMetadata, (L1, L2 | Copied), (L2, L2 | Copied));
        yield return Map("data on the refcount table", FormatError.OverlapsMetadata, (L1, L2 | Copied), (L2, Refcounts));
        yield return Map("data twice", FormatError.SharedCluster, (L1, L2 | Copied), (L2, Data), (L2 + 8, Data));
        yield return Map("data and zeroes in one place", FormatError.SharedCluster,
            (L1, L2 | Copied), (L2, Data), (L2 + 8, Data | 1));
        yield return Map("compressed past the end", FormatError.OutsideFile, (L1, L2 | Copied), (L2, Compressed | 0x60000));
        yield return Map("compressed on the header", FormatError.OverlapsMetadata, (L1, L2 | Copied), (L2, Compressed | 64));
        yield return Map("compressed on the L1 table", FormatError.OverlapsMetadata, (L1, L2 | Copied), (L2, Compressed | (L1 + 64)));
        yield return Map("compressed on data", FormatError.SharedCluster,
            (L1, L2 | Copied), (L2, Data), (L2 + 8, Compressed | (Data + 100)));
        yield return Map("refcount block on half a cluster", FormatError.Misaligned, (Refcounts, Data + 512));
        yield return Map("refcount block past the end", FormatError.OutsideFile, (Refcounts, 0x50000));
        yield return Map("refcount block twice", FormatError.OverlapsMetadata, (Refcounts, Data), (Refcounts + 8, Data));
        yield return Map("refcount block on the L1 table", FormatError.OverlapsMetadata, (Refcounts, L1));
        yield return Map("data on a refcount block", FormatError.OverlapsMetadata,
            (Refcounts, Data), (L1, L2 | Copied), (L2, Data));
        yield return new("zero flag in version 2", "qcow2", FormatError.InvalidTableEntry,
            () => Poked(new QcowBytes { Version = 2 }, (L1, L2 | Copied), (L2, 1))) { NeedsMap = true };
        yield return new("subclusters stored and zero", "qcow2", FormatError.InvalidTableEntry, () => Poked(
            new QcowBytes { Incompatible = 16, L1Entries = 4 }, (L1, L2 | Copied), (L2, Data), (L2 + 8, 0x00000001_00000001))) { NeedsMap = true };
        yield return new("subclusters stored nowhere", "qcow2", FormatError.InvalidTableEntry, () => Poked(
            new QcowBytes { Incompatible = 16, L1Entries = 4 }, (L1, L2 | Copied), (L2 + 8, 1))) { NeedsMap = true };
    }

    private static IEnumerable<HostileImage> QcowAmplifiers()
    {
        yield return new("one L2 table 512 times", "qcow2", FormatError.SharedCluster, () => Repeated(
            new QcowBytes { L1Entries = 512, DiskBytes = 256UL << 30 }, 512, Data | Copied)) { NeedsMap = true };
        yield return new("one cluster 8192 times", "qcow2", FormatError.SharedCluster, () => Repeated(
            new QcowBytes(), 1, Data | Copied)) { NeedsMap = true };
        yield return new("one compressed cluster 8192 times", "qcow2", FormatError.SharedCluster, () => Bomb(16)) { NeedsMap = true };
        yield return new("512 GiB in one compressed cluster", "qcow2", FormatError.SharedCluster, () => Bomb(21)) { NeedsMap = true };
        yield return new("zstd bomb", "qcow2", FormatError.SharedCluster, () => Repeated(
            new QcowBytes { Incompatible = 8, HeaderLength = 112, Extensions = [1, 0, 0, 0, 0, 0, 0, 0] },
            1, Compressed | Data)) { NeedsMap = true };
    }

    private static HostileImage Map(string name, FormatError expected, params (int At, ulong Value)[] words) =>
        Changed(name, expected, words) with { NeedsMap = true };

    /// <summary>The first L1 entries all lead to one L2 table, all of whose entries are the same.</summary>
    private static byte[] Repeated(QcowBytes shape, int tables, ulong entry)
    {
        var bytes = shape.ToBytes();
        for (var i = 0; i < tables; i++)
            bytes.Big64(L1 + (i * 8), L2 | Copied);
        for (var i = 0; i < 8192; i++)
            bytes.Big64(L2 + (i * 8), entry);
        return bytes;
    }

    /// <summary>A full L2 table of compressed clusters, all of them the same small stream of zeroes.</summary>
    private static byte[] Bomb(int clusterBits)
    {
        var cluster = 1 << clusterBits;
        var (l1, l2, data) = (2u * (uint)cluster, 3u * (uint)cluster, 4u * (uint)cluster);
        var packed = new MemoryStream();
        using (var deflate = new DeflateStream(packed, CompressionLevel.SmallestSize, leaveOpen: true))
            deflate.Write(new byte[cluster]);

        var entries = cluster / 8;
        var bytes = new QcowBytes
        {
            ClusterBits = (uint)clusterBits,
            DiskBytes = (ulong)entries << clusterBits,
            L1Entries = 1,
            L1Offset = l1,
            RefcountTableOffset = (ulong)cluster,
            FileBytes = 5 * cluster,
        }.ToBytes().Big64((int)l1, l2 | Copied);
        var sectors = (ulong)((packed.Length + 511) / 512) - 1;
        for (var i = 0; i < entries; i++)
            bytes.Big64((int)l2 + (i * 8), Compressed | (sectors << (62 - (clusterBits - 8))) | data);
        packed.ToArray().CopyTo(bytes, data);
        return bytes;
    }
}
