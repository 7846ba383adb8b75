using Registry.Engine.Disks;

namespace Registry.Hostile;

/// <content>qcow2: what a header says.</content>
internal sealed partial record HostileImage
{
    private const uint DataFileExtension = 0x44415441;

    private static IEnumerable<HostileImage> References()
    {
        yield return Qcow("backing file", FormatError.BackingFileRefused, new() { Backing = "/etc/passwd" });
        yield return Qcow(
            "backing json", FormatError.BackingFileRefused, new() { Backing = "json:{\"driver\":\"raw\"}" });
        yield return Qcow("backing nbd", FormatError.BackingFileRefused, new() { Backing = "nbd://127.0.0.1:10809/x" });
        yield return Qcow(
            "backing, version 2", FormatError.BackingFileRefused, new() { Version = 2, Backing = "base" });
        yield return Qcow("data file", FormatError.DataFileRefused,
            new() { Incompatible = 4, Extensions = QcowBytes.Extension(DataFileExtension, "/etc/passwd") });
        yield return Qcow("data file bit alone", FormatError.DataFileRefused, new() { Incompatible = 4 });
        yield return Qcow("data file name alone", FormatError.DataFileRefused,
            new() { Extensions = QcowBytes.Extension(DataFileExtension, "/etc/passwd") });
        yield return Qcow("data file name behind a lot", FormatError.InvalidExtension, new()
        {
            ClusterBits = 21,
            L1Offset = 2 << 20,
            RefcountTableOffset = 2 << 20,
            FileBytes = 6 << 20,
            Extensions =
            [
                .. QcowBytes.Extension(0x11111111, 64 << 10, new byte[64 << 10]),
                .. QcowBytes.Extension(DataFileExtension, "/etc/passwd"),
            ],
        });
        yield return Qcow("encrypted", FormatError.Encrypted, new() { CryptMethod = 1 });
        yield return Qcow("luks inside", FormatError.Encrypted, new() { CryptMethod = 2 });
    }

    private static IEnumerable<HostileImage> Fields()
    {
        yield return Qcow("dirty", FormatError.DirtyImage, new() { Incompatible = 1 });
        yield return Qcow("corrupt", FormatError.CorruptImage, new() { Incompatible = 2 });
        yield return Qcow("unknown feature", FormatError.UnknownFeature, new() { Incompatible = 1UL << 40 });
        yield return Qcow("compression type missing", FormatError.InvalidHeader, new() { Incompatible = 8 });
        yield return Qcow("version 1", FormatError.UnsupportedVersion, new() { Version = 1 });
        yield return Qcow("version 4", FormatError.UnsupportedVersion, new() { Version = 4 });
        foreach (var bits in new uint[] { 0, 8, 22, 30, 63 })
            yield return Qcow($"cluster bits {bits}", FormatError.InvalidHeader, new() { ClusterBits = bits });

        yield return Qcow("refcount order", FormatError.InvalidHeader, new() { RefcountOrder = 63 });
        yield return Qcow("header length", FormatError.InvalidHeader, new() { HeaderLength = uint.MaxValue });
        yield return Qcow("extension length wraps", FormatError.InvalidExtension,
            new() { Extensions = QcowBytes.Extension(0x6803F857, 0xFFFFFFFD, []) });
        yield return Qcow("extension length huge", FormatError.InvalidExtension,
            new() { Extensions = QcowBytes.Extension(0x23852875, 0x7FFFFFFF, []) });
        yield return new("cut in the header", "qcow2", FormatError.Truncated, () => new QcowBytes().ToBytes()[..71]);
        yield return new("one byte", "qcow2", FormatError.FormatMismatch, () => [(byte)'Q']) { IsFineAsRaw = true };
    }

    private static IEnumerable<HostileImage> Tables()
    {
        yield return Qcow("size 2^63", FormatError.VirtualSizeTooLarge, new() { DiskBytes = 1UL << 63 });
        yield return Qcow("size all ones", FormatError.VirtualSizeTooLarge, new() { DiskBytes = ulong.MaxValue });
        yield return Qcow("1 EiB in a tiny file", FormatError.VirtualSizeTooLarge,
            new() { DiskBytes = 1UL << 60, L1Entries = 1 << 25 });
        yield return Qcow("L1 huge", FormatError.TableTooLarge, new() { L1Entries = uint.MaxValue });
        yield return Qcow("L1 too short", FormatError.InvalidHeader, new() { L1Entries = 1 });
        yield return Qcow("L1 wraps", FormatError.OutsideFile, new() { L1Offset = 0xFFFFFFFFFFFF0000 });
        yield return Qcow("L1 not aligned", FormatError.Misaligned, new() { L1Offset = 0x30001 });
        yield return Qcow("L1 past the end", FormatError.OutsideFile, new() { L1Offset = 0x100000 });
        yield return Qcow(
            "refcount table huge", FormatError.TableTooLarge, new() { RefcountTableClusters = uint.MaxValue });
        yield return Qcow(
            "refcount table past the end", FormatError.OutsideFile, new() { RefcountTableOffset = 1UL << 50 });
        yield return Qcow("snapshots huge", FormatError.TableTooLarge,
            new() { Snapshots = uint.MaxValue, SnapshotsOffset = 0x40000 });
        yield return Qcow("snapshots past the end", FormatError.OutsideFile,
            new() { Snapshots = 65536, SnapshotsOffset = 1UL << 55 });
    }
}
