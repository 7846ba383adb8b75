using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Corpus;

/// <summary>Every image of the corpus reads as <c>qemu-img convert</c> reads it, and maps as <c>qemu-img map</c> maps
/// it.</summary>
public sealed class CorpusTests
{
    private static readonly Dictionary<string, CorpusImage> Images =
        CorpusImages.All().ToDictionary(image => image.Name, StringComparer.Ordinal);

    public static TheoryData<string> Names =>
        [.. Images.Values.Where(image => TestRun.IsFull || !image.IsSlow).Select(image => image.Name)];

    [Fact]
    public void The_corpus_is_as_large_as_was_promised() => Assert.InRange(Images.Count, 150, 400);

    [Theory]
    [MemberData(nameof(Names))]
    public async Task We_read_and_map_what_qemu_does(string name)
    {
        QemuImg.Require();
        var wanted = Images[name];
        using var directory = new TempDirectory();
        var folder = new CorpusFolder(directory, wanted.Passphrase);
        wanted.Make(folder);

        await using var bytes = FileBytes.OpenRead(folder[CorpusFolder.Disk]);
        await using var image = await QcowImage.OpenAsync(bytes, Options(folder, wanted), Disk.Stop);
        if (wanted.Snapshot is null)
        {
            Assert.Equal(Map(folder), await Disk.Status(image));
        }

        if (wanted.IsHuge)
        {
            return;
        }

        var raw = folder["oracle.raw"];
        string[] snapshot = wanted.Snapshot is null ? [] : ["-l", wanted.Snapshot];
        QemuImg.Run(["convert", "-O", "raw", .. snapshot, .. folder.Source, raw]);
        await AssertReadsAs(raw, image);
        await AssertConvertsTo(raw, image, folder["ours.raw"]);
    }

    /// <summary>qemu-img needs half a minute to map these, in steps of 2 GiB; what was written is known.</summary>
    [Theory]
    [InlineData(50, 64 << 10)]
    [InlineData(56, 2 << 20)]
    public async Task The_largest_disks_are_read_at_both_ends(int bits, int cluster)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var path = directory.File(CorpusFolder.Disk);
        var size = 1L << bits;
        QemuImg.Create(path, size, $"cluster_size={cluster}");
        QemuImg.Io(path, ["write -P 3 0 512", $"write -P 4 {size - 1024} 1024"]);
        await using var bytes = FileBytes.OpenRead(path);
        await using var image = await QcowImage.OpenAsync(bytes, DiskOpenOptions.Local(path), Disk.Stop);
        var map = await Disk.Status(image);
        Assert.Equal(
            [(0, cluster, true), (cluster, size - (2L * cluster), false), (size - cluster, cluster, true)],
            map.Select(run => (run.Start, run.Length, run.IsData)));
        var ends = new byte[2048];
        await image.ReadAsync(0, ends.AsMemory(0, 1024), Disk.Stop);
        await image.ReadAsync(size - 1024, ends.AsMemory(1024), Disk.Stop);
        Assert.Equal(
            [.. Enumerable.Repeat((byte)3, 512), .. new byte[512], .. Enumerable.Repeat((byte)4, 1024)], ends);
    }

    internal static DiskOpenOptions Options(CorpusFolder folder, CorpusImage image) =>
        DiskOpenOptions.Local(folder[CorpusFolder.Disk]) with
        {
            Snapshot = image.Snapshot,
            Passphrase = image.Passphrase is null
                ? null
                : _ => new(Encoding.UTF8.GetBytes(image.Passphrase)),
        };

    private static List<BlockStatus> Map(CorpusFolder folder)
    {
        using var json = JsonDocument.Parse(QemuImg.Run(["map", "--output=json", .. folder.Source]));
        return QemuImg.StatusOf(json.RootElement);
    }

    private static async Task AssertReadsAs(string raw, QcowImage image)
    {
        var expected = await File.ReadAllBytesAsync(raw, Disk.Stop);

        // qemu-img convert keeps the active disk's size for a snapshot of another size.
        var shared = (int)Math.Min(image.VirtualSize, expected.Length);
        Assert.True(image.Snapshot is not null || image.VirtualSize == expected.Length);
        var ours = new byte[shared];
        for (var at = 0; at < shared; at += 100_000)
        {
            await image.ReadAsync(at, ours.AsMemory(at, Math.Min(100_000, shared - at)), Disk.Stop);
        }

        AssertSame(expected.AsSpan(0, shared), ours);

        // A few small reads anywhere: other windows, other caches.
        var random = new Random(1);
        for (var i = 0; i < 20 && shared > 0; i++)
        {
            var at = random.Next(shared);
            var piece = new byte[Math.Min(random.Next(1, 5000), shared - at)];
            await image.ReadAsync(at, piece, Disk.Stop);
            AssertSame(expected.AsSpan(at, piece.Length), piece);
        }

        if (shared == expected.Length && image.VirtualSize == shared)
        {
            Assert.Equal(
                System.Convert.ToHexStringLower(SHA256.HashData(expected)), await Disk.Sha256ByPieces(image));
        }
    }

    private static async Task AssertConvertsTo(string raw, QcowImage image, string target)
    {
        var size = Math.Max(image.VirtualSize, new FileInfo(raw).Length);
        await Converter.ConvertAsync(
            image, target, DiskFormat.Raw, new ConvertOptions { IsDurable = false, Size = size }, Disk.Stop);
        var expected = await File.ReadAllBytesAsync(raw, Disk.Stop);
        var ours = await File.ReadAllBytesAsync(target, Disk.Stop);
        AssertSame(expected, ours.AsSpan(0, expected.Length));
    }

    private static void AssertSame(ReadOnlySpan<byte> expected, ReadOnlySpan<byte> ours)
    {
        var same = expected.CommonPrefixLength(ours);
        Assert.True(same == expected.Length && same == ours.Length, $"The content differs at byte {same}.");
    }
}
