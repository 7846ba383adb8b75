using Registry.Engine.Disks;

namespace Registry.Hostile;

/// <content>qcow2: more of what a header can say.</content>
internal sealed partial record HostileImage
{
    private static IEnumerable<HostileImage> MoreReferences()
    {
        string[] names =
        [
            "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"/etc/shadow\"}}",
            "json:{\"driver\":\"nbd\",\"server.type\":\"inet\",\"server.host\":\"127.0.0.1\",\"server.port\":\"10809\"}",
            "http://169.254.169.254/latest/meta-data", "ssh://root@127.0.0.1/etc/shadow", "rbd:volumes/other",
            "/proc/self/environ", "/dev/fdset/1", "host_device:/dev/sda", "fat:rw:/etc", "../../../../etc/passwd",
            "base\n/etc/passwd", "base\0/etc/passwd", "\u001b[2J/etc/passwd", "<script>alert(1)</script>",
            new string('a', 1023),
        ];
        foreach (var (index, name) in names.Index())
            yield return Qcow($"backing name {index + 1}", FormatError.BackingFileRefused, new() { Backing = name });

        yield return Qcow("backing json in a data file", FormatError.DataFileRefused, new()
        {
            Incompatible = 4, Extensions = QcowBytes.Extension(DataFileExtension, "json:{\"file.driver\":\"nbd\"}"),
        });
        yield return Qcow("data file and backing file", FormatError.BackingFileRefused,
            new() { Incompatible = 4, Backing = "/etc/passwd" });
        yield return Qcow("data file name with a NUL", FormatError.DataFileRefused,
            new() { Extensions = QcowBytes.Extension(DataFileExtension, "a\0/etc/passwd") });
        yield return Changed("backing name without a length", FormatError.BackingFileRefused, (8, 0x200));
        yield return Changed("backing name outside the file", FormatError.BackingFileRefused, (8, 1UL << 40));
        yield return Changed("backing name that wraps", FormatError.BackingFileRefused, (8, ulong.MaxValue));
        yield return Changed("backing name on the header", FormatError.BackingFileRefused, (8, 1));
    }

    private static IEnumerable<HostileImage> MoreFields()
    {
        yield return Qcow("refcount order 7", FormatError.InvalidHeader, new() { RefcountOrder = 7 });
        yield return Qcow("refcount order all ones", FormatError.InvalidHeader, new() { RefcountOrder = uint.MaxValue });
        yield return Qcow("header length too short", FormatError.InvalidHeader, new() { HeaderLength = 72 });
        yield return Qcow("header longer than a cluster", FormatError.InvalidHeader, new() { HeaderLength = 0x10008 });
        yield return Qcow("crypt method unknown", FormatError.InvalidHeader, new() { CryptMethod = 3 });
        yield return Qcow("cluster bits all ones", FormatError.InvalidHeader, new() { ClusterBits = uint.MaxValue });
        yield return Qcow("all features", FormatError.DataFileRefused, new() { Incompatible = ulong.MaxValue });
        yield return Qcow("extension past the cluster", FormatError.InvalidExtension,
            new() { Extensions = QcowBytes.Extension(0x11111111, 0x10000, []) });
        yield return Qcow("bitmaps in a table of 4 GiB", FormatError.InvalidExtension,
            new() { Extensions = QcowBytes.Extension(0x23852875, uint.MaxValue, new byte[24]) });
        yield return Changed("unknown compression", FormatError.UnsupportedFeature, (72, 8), (100, 112UL << 32 | 0x02000000));
        yield return new("cut behind the magic", "qcow2", FormatError.Truncated, () => new QcowBytes().ToBytes()[..4]);
        yield return new("cut in version 3's fields", "qcow2", FormatError.Truncated, () => new QcowBytes().ToBytes()[..103]);
    }

    private static IEnumerable<HostileImage> MoreTables()
    {
        yield return Qcow("refcount table of no clusters", FormatError.InvalidHeader, new() { RefcountTableClusters = 0 });
        yield return Qcow("refcount table of 2^32 bytes", FormatError.TableTooLarge, new() { RefcountTableClusters = 1 << 16 });
        yield return Qcow("refcount table not aligned", FormatError.Misaligned, new() { RefcountTableOffset = 0x10200 });
        yield return Qcow("refcount table wraps", FormatError.OutsideFile,
            new() { RefcountTableOffset = 0xFFFF_FFFF_FFFF_0000 });
        yield return Qcow("L1 of 2^32 bytes", FormatError.TableTooLarge, new() { L1Entries = 1 << 29 });
        yield return Qcow("no L1 for a disk", FormatError.InvalidHeader, new() { L1Entries = 0 });
        yield return Qcow("L1 of 2^32 and a bit", FormatError.OutsideFile, new() { L1Offset = (1UL << 32) | 0x30000 });
        yield return Qcow("L1 on the header", FormatError.OverlapsMetadata, new() { L1Offset = 0 });
        yield return Qcow("L1 on the refcount table", FormatError.OverlapsMetadata, new() { L1Offset = 0x10000 }) with { NeedsMap = true };
        yield return Qcow("disk of 2^32 times its L1", FormatError.InvalidHeader, new() { DiskBytes = (1UL << 32) | (1 << 20) });
        yield return Qcow("snapshots on the header", FormatError.OverlapsMetadata, new() { Snapshots = 1 });
        yield return Qcow("snapshots not aligned", FormatError.Misaligned, new() { Snapshots = 1, SnapshotsOffset = 0x40004 });
        yield return Qcow("a snapshot more than there may be", FormatError.TableTooLarge,
            new() { Snapshots = 65537, SnapshotsOffset = 0x40000 });
    }

    private static HostileImage Changed(string name, FormatError expected, params (int At, ulong Value)[] words) =>
        new(name, "qcow2", expected, () => Poked(new QcowBytes(), words));

    private static byte[] Poked(QcowBytes file, params (int At, ulong Value)[] words)
    {
        var bytes = file.ToBytes();
        foreach (var (at, value) in words)
            bytes.Big64(at, value);
        return bytes;
    }
}
