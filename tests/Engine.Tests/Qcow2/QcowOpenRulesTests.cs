using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Engine.Tests.Oracle;
using Registry.Support;

namespace Registry.Engine.Tests.Qcow2;

/// <summary>The rules that QEMU has for an image that it opens for reading and writing: each spoilt thing is refused by
/// QEMU and by the server, and what both take is taken. docs/reference/qcow2-open-rules.md lists them.</summary>
public sealed class QcowOpenRulesTests : IDisposable
{
    private const int Directory = 6 * QcowBytes.Cluster;
    private const int Table = 7 * QcowBytes.Cluster;
    private const int Bits = 8 * QcowBytes.Cluster;
    private const int Snapshots = 9 * QcowBytes.Cluster;
    private const int SnapshotL1 = 10 * QcowBytes.Cluster;
    private const int Used = 11;

    // Where the bitmaps extension stands, and the next one could.
    private const int Extension = 112;
    private const int NextExtension = Extension + 32;

    private readonly TempDirectory _directory = new();

    /// <summary>What, how a sound image is changed, and how it is refused; null where it is taken.</summary>
    private static readonly Dictionary<string, (Func<QcowBytes, QcowBytes> Change, FormatError? Expected)> Changes = new()
    {
        ["nothing"] = (file => file, null),

        // The header.
        ["version 1"] = (file => file.U32(4, 1), FormatError.UnsupportedVersion),
        ["clusters of 256 bytes"] = (file => file.U32(20, 8), FormatError.InvalidHeader),
        ["clusters of 4 MiB"] = (file => file.U32(20, 22), FormatError.InvalidHeader),
        ["a header of 103 bytes"] = (file => file.U32(100, 103), FormatError.InvalidHeader),
        ["a header longer than a cluster"] = (file => file.U32(100, QcowBytes.Cluster + 1), FormatError.InvalidHeader),
        ["a longer header"] = (file => LongerHeader(file, 136), null),
        ["refcounts of 128 bits"] = (file => file.U32(96, 7), FormatError.InvalidHeader),
        ["no refcount table"] = (file => file.U32(56, 0), FormatError.InvalidHeader),
        ["a refcount table of 8 MiB and a cluster"] = (file => file.U32(56, 129), FormatError.TableTooLarge),
        ["a misaligned refcount table"] = (file => file.U64(48, QcowBytes.RefcountTable + 512), FormatError.Misaligned),
        ["a misaligned L1 table"] = (file => file.U64(40, QcowBytes.L1 + 8), FormatError.Misaligned),
        ["an L1 table beyond 2^63"] = (file => file.U64(40, 1UL << 63), FormatError.OutsideFile),
        ["an L1 table of 32 MiB and an entry"] = (file => file.U32(36, (4 << 20) + 1), FormatError.TableTooLarge),
        ["a disk that is longer than its L1 table"] = (file => file.U64(24, 1UL << 30), FormatError.InvalidHeader),
        ["a byte that needs an L1 entry"] = (file => file.U64(24, (512UL << 20) + 1), FormatError.InvalidHeader),
        ["an unknown incompatible feature"] = (file => file.U64(72, 1UL << 20), FormatError.UnknownFeature),
        ["the corrupt bit"] = (file => file.U64(72, 2), FormatError.CorruptImage),
        ["a compression type without its bit"] = (file => file.U32(104, 1U << 24), FormatError.InvalidHeader),
        ["a compression bit without its type"] = (file => file.U64(72, 8), FormatError.InvalidHeader),
        ["an unknown compression type"] = (file => file.U64(72, 8).U32(104, 2U << 24), FormatError.UnsupportedFeature),
        ["an unknown autoclear bit"] = (file => file.U64(88, 1 | (1UL << 40)), null),
        ["a raw data file, and no data file"] = (file => file.U64(88, 3), FormatError.InvalidHeader),

        // Header extensions.
        ["an extension that is too long"] = (file => Unknown(file, QcowBytes.Cluster), FormatError.InvalidExtension),
        ["an end that is too long"] = (
            file => file.U32(NextExtension, 0).U32(NextExtension + 4, 1 << 20), FormatError.InvalidExtension),
        ["an end beyond the cluster"] = (
            file => InUse(Unknown(file, QcowBytes.Cluster - NextExtension - 8 - 4)), null),
        ["half a record at the end"] = (
            file => InUse(Unknown(LongerHeader(file, 116), QcowBytes.Cluster - 160, at: 148)), FormatError.InvalidExtension),
        ["a backing format of 16 bytes"] = (
            file => file.U32(NextExtension, 0xE2792ACA).U32(NextExtension + 4, 16), FormatError.InvalidExtension),
        ["an encryption header, and no encryption"] = (
            file => file.U32(NextExtension, 0x0537BE77).U32(NextExtension + 4, 16), FormatError.Encrypted),
        ["no room for the header that is written"] = (
            file => Unknown(file, QcowBytes.Cluster - NextExtension - 8 - 8), FormatError.InvalidExtension),

        // The bitmaps extension.
        ["bitmaps of 23 bytes"] = (file => file.U32(Extension + 4, 23), FormatError.InvalidExtension),
        ["a reserved field"] = (file => file.U32(Extension + 12, 1), FormatError.InvalidExtension),
        ["no bitmaps"] = (file => file.U32(Extension + 8, 0), FormatError.TableTooLarge),
        ["65536 bitmaps"] = (file => file.U32(Extension + 8, 65536), FormatError.TableTooLarge),
        ["a misaligned directory"] = (file => file.U64(Extension + 24, Directory + 512), FormatError.OutsideFile),
        ["a directory beyond the maximum"] = (
            file => file.U64(Extension + 16, (65535 * 1024) + 1), FormatError.TableTooLarge),
        ["an empty directory"] = (file => file.U64(Extension + 16, 0), FormatError.TableTooLarge),
        ["a spoilt directory that is ignored"] = (file => file.U64(88, 0).U64(Directory, 1), null),

        // The bitmap directory.
        ["more bitmaps than stated"] = (file => file.U32(Extension + 8, 1), FormatError.InvalidTableEntry),
        ["fewer bitmaps than stated"] = (file => file.U32(Extension + 8, 3), FormatError.InvalidTableEntry),
        ["a directory that ends inside an entry"] = (
            file => file.U64(Extension + 16, 63), FormatError.InvalidTableEntry),
        ["a directory with more behind it"] = (file => file.U64(Extension + 16, 72), FormatError.InvalidTableEntry),
        ["no table"] = (file => file.U64(Directory, 0), FormatError.InvalidTableEntry),
        ["a misaligned table"] = (file => file.U64(Directory, Table + 8), FormatError.InvalidTableEntry),
        ["a table without entries"] = (file => file.U32(Directory + 8, 0), FormatError.InvalidTableEntry),
        ["a table that is too long"] = (file => file.U32(Directory + 8, 2), FormatError.InvalidTableEntry),
        ["bits beyond 512 MiB"] = (file => file.U32(Directory + 8, 8193), FormatError.InvalidTableEntry),
        ["reserved flags"] = (file => file.U32(Directory + 12, 4), FormatError.InvalidTableEntry),
        ["an unknown type"] = (file => file.U32(Directory + 16, 0x02100001), FormatError.InvalidTableEntry),
        ["a granularity of 256 bytes"] = (file => file.U32(Directory + 16, 0x01080001), FormatError.InvalidTableEntry),
        ["a granularity of 4 GiB"] = (file => file.U32(Directory + 16, 0x01200001), FormatError.InvalidTableEntry),
        ["extra data"] = (file => file.U32(Directory + 20, 4), FormatError.InvalidTableEntry),
        ["a name beyond its entry"] = (file => file.U32(Directory + 16, 0x0110FFFF), FormatError.InvalidTableEntry),
        ["two of a name"] = (file => file.Text(Directory + 32 + 24, "a"), FormatError.InvalidTableEntry),
        ["two of a name, the second in use"] = (
            file => file.Text(Directory + 32 + 24, "a").U32(Directory + 32 + 12, 1), null),
        ["a name with a zero byte"] = (
            file => file.U64(Extension + 16, 72).U32(Directory + 32 + 16, 0x0110000A), FormatError.InvalidTableEntry),
        ["a bitmap in use with a spoilt table"] = (
            file => file.U32(Directory + 12, 1).U64(Table, 0xFF00_0000_0000_0000), null),

        // Bitmap tables.
        ["a reserved bit of an entry"] = (file => file.U64(Table, Bits | 2), FormatError.InvalidTableEntry),
        ["an upper bit of an entry"] = (file => file.U64(Table, Bits | (1UL << 56)), FormatError.InvalidTableEntry),
        ["all ones and an offset"] = (file => file.U64(Table, Bits | 1), FormatError.InvalidTableEntry),
        ["all ones"] = (file => file.U64(Table, 1), null),
        ["misaligned bits"] = (file => file.U64(Table, Bits + 512), FormatError.InvalidTableEntry),

        // Snapshots.
        ["65537 snapshots"] = (file => file.U32(60, 65537), FormatError.TableTooLarge),
        ["a misaligned snapshot table"] = (file => file.U64(64, Snapshots + 8), FormatError.Misaligned),
        ["a misaligned snapshot table of no snapshots"] = (file => file.U32(60, 0).U64(64, 8), FormatError.Misaligned),
        ["a snapshot table beyond 2^63"] = (file => file.U32(60, 0).U64(64, 1UL << 63), FormatError.OutsideFile),
        ["more than 1024 bytes of extra data"] = (file => file.U32(Snapshots + 36, 1025), FormatError.TableTooLarge),
        ["no extra data"] = (file => file.U32(Snapshots + 36, 0), null),
    };

    /// <summary>What QEMU opens, and the server refuses on purpose.</summary>
    private static readonly Dictionary<string, (Func<QcowBytes, QcowBytes> Change, FormatError Expected)> Refused = new()
    {
        ["dirty"] = (file => file.U64(72, 1), FormatError.DirtyImage),
        ["a data file's name without its bit"] = (
            file => file.U32(NextExtension, 0x44415441).U32(NextExtension + 4, 4), FormatError.DataFileRefused),
        ["an L1 table behind the file's end"] = (
            file => file.U64(40, 100UL * QcowBytes.Cluster), FormatError.OutsideFile),
        ["a refcount table behind the file's end"] = (
            file => file.U64(48, 100UL * QcowBytes.Cluster), FormatError.OutsideFile),
        ["a snapshot's L1 table behind the file's end"] = (
            file => file.U64(Snapshots, 100UL * QcowBytes.Cluster), FormatError.OutsideFile),
        ["a snapshot's misaligned L1 table"] = (file => file.U64(Snapshots, SnapshotL1 + 8), FormatError.Misaligned),
        ["bits behind the file's end"] = (file => file.U64(Table, 100UL * QcowBytes.Cluster), FormatError.OutsideFile),
        ["a bitmap table behind the file's end"] = (
            file => file.U64(Directory, 100UL * QcowBytes.Cluster), FormatError.OutsideFile),
        ["bits of two bitmaps in one place"] = (file => file.U64(Directory + 32, Table), FormatError.OverlapsMetadata),
        ["bits on a refcount block"] = (file => file.U64(Table, 2 * QcowBytes.Cluster), FormatError.OverlapsMetadata),
        ["an extension twice"] = (
            file => Unknown(Unknown(file, 8), 8, NextExtension + 16), FormatError.InvalidExtension),
        ["a disk beyond 1 PiB"] = (
            file => file.U64(24, (1UL << 50) + 512).U32(36, (2 << 20) + 1).U64(88, 0), FormatError.VirtualSizeTooLarge),
    };

    /// <summary>Changes that QEMU and the server agree on.</summary>
    public static TheoryData<string> Rules => [.. Changes.Keys];

    /// <summary>Changes that they do not agree on.</summary>
    public static TheoryData<string> Policies => [.. Refused.Keys];

    public void Dispose() => _directory.Dispose();

    [Theory]
    [MemberData(nameof(Rules))]
    public async Task What_QEMU_refuses_to_open_is_refused_and_the_rest_is_taken(string what)
    {
        var (change, expected) = Changes[what];
        var bytes = change(Sound()).Bytes;
        var (opens, answer) = Qemu(bytes);
        Assert.True(opens == expected is null, $"{what}: {answer}");
        Assert.Equal(expected, (await RefusalAsync(bytes))?.Error);
    }

    [Theory]
    [MemberData(nameof(Policies))]
    public async Task What_QEMU_opens_is_refused_only_for_a_reason_of_our_own(string what)
    {
        var (change, expected) = Refused[what];
        var bytes = change(Sound()).Bytes;
        var (opens, answer) = Qemu(bytes);
        Assert.True(opens, $"{what}: {answer}");
        Assert.Equal(expected, (await RefusalAsync(bytes))?.Error);
    }

    /// <summary>How the server refuses an upload; null when it takes it.</summary>
    internal static async Task<InspectionFailure?> RefusalAsync(byte[] bytes)
    {
        var inspector = new FormatInspector();
        inspector.Feed(bytes);
        if (UploadVerdict.Judge("qcow2", "bare", inspector.Finish()).Refusal is { } refusal)
        {
            return refusal;
        }

        try
        {
            await using var image = await Disk.OpenQcow(new MemoryBytes(bytes));
            await image.VerifyAsync(Disk.Stop);
            return null;
        }
        catch (ImageFormatException e)
        {
            return new InspectionFailure(e.Error, e.Message);
        }
    }

    private (bool Opens, string Answer) Qemu(byte[] bytes)
    {
        QemuImg.Require();
        var path = _directory.File("disk.qcow2");
        File.WriteAllBytes(path, bytes);
        return QemuImg.TryOpen(path);
    }

    /// <summary>An image with two bitmaps and a snapshot, in which nothing is wrong.</summary>
    private static QcowBytes Sound()
    {
        var file = new QcowBytes(clusters: Used).U32(100, 112).Entry(0, QcowBytes.Copied | QcowBytes.Data).U64(88, 1);
        for (var cluster = 0; cluster < Used; cluster++)
        {
            file.Bytes[(2 * QcowBytes.Cluster) + (2 * cluster) + 1] = 1;
        }

        file.U32(Extension, 0x23852875).U32(Extension + 4, 24).U32(Extension + 8, 2)
            .U64(Extension + 16, 64).U64(Extension + 24, Directory);
        file.U64(Directory, Table).U32(Directory + 8, 1).U32(Directory + 16, 0x01100001).Text(Directory + 24, "a");
        file.U64(Directory + 32, 5UL * QcowBytes.Cluster).U32(Directory + 40, 1).U32(Directory + 48, 0x01100001)
            .Text(Directory + 56, "b");
        return file.U64(Table, Bits).Entry(0, 0).U32(60, 1).U64(64, Snapshots)
            .U64(Snapshots, SnapshotL1).U32(Snapshots + 8, 1).U32(Snapshots + 12, 0x00010001)
            .U32(Snapshots + 36, 16).U64(Snapshots + 48, 1 << 20).Text(Snapshots + 56, "1s");
    }

    private static QcowBytes Unknown(QcowBytes file, int length, int at = NextExtension) =>
        file.U32(at, 0x12345678).U32(at + 4, (uint)length);

    // Neither bitmap is loaded, so nothing is written when the image is opened.
    private static QcowBytes InUse(QcowBytes file) => file.U32(Directory + 12, 1).U32(Directory + 32 + 12, 1);

    // The extensions follow the header.
    private static QcowBytes LongerHeader(QcowBytes file, int length)
    {
        var extension = file.Bytes.AsSpan(Extension, 32).ToArray();
        file.Bytes.AsSpan(Extension, 32).Clear();
        extension.CopyTo(file.Bytes.AsSpan(length));
        return file.U32(100, (uint)length);
    }
}
