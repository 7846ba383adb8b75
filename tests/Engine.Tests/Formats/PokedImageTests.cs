using System.Diagnostics;
using Registry.Engine.Disks;
using Registry.Engine.Tests.Oracle;
using Registry.Fuzz;

namespace Registry.Engine.Tests.Formats;

/// <summary>Each field of each header and table of a real image, spoilt in many ways: it opens and reads as some disk,
/// or is refused as malformed; never anything else, never slowly.</summary>
public sealed class PokedImageTests
{
    private const int DiskBytes = (3 << 20) + 512;

    private static readonly byte[][] Values =
    [
        [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 2, 0, 0], [0xFF, 0xFF, 0xFF, 0x7F], [0x7F, 0xFF, 0xFF, 0xFF],
        [0, 0, 0, 0x80], [0xFE, 0xFF, 0xFF, 0xFF], [0xFF, 0xFF, 0xFF, 0xFF], [6, 0, 0x20, 0],
    ];

    /// <summary>Shape, and the ranges of bytes that are poked: first byte (negative from the end) and length.</summary>
    public static TheoryData<string, int[]> Shapes => new()
    {
        { "vmdk subformat=monolithicSparse", [0, 80, 512, 400, 20 * 512, 2048, 64 << 10, 64] },
        { "vmdk subformat=streamOptimized", [0, 80, 512, 400, 20 * 512, 2048, 64 << 10, 64] },
        { "vpc subformat=dynamic,force_size=on", [0, 84, 512, 64, 1536, 16, -512, 84] },
        { "vpc subformat=fixed,force_size=on", [-512, 84] },
        {
            "vhdx block_size=1M",
            [0, 8, 64 << 10, 80, 128 << 10, 80, 192 << 10, 80, 2 << 20, 32, 2 << 20, 224, (2 << 20) + (64 << 10), 48, 3 << 20, 40]
        },
        { "vdi static=off", [0x40, 4, 0x44, 8, 0x154, 0x80, 512, 16] },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public async Task A_spoilt_field_is_refused_or_harmless(string shape, int[] ranges)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var (format, options) = QemuFormatTests.Split(shape);
        var image = await MakeAsync(directory, format, options);
        var kind = QemuFormatTests.FormatOf(format);
        Assert.Null(await ReadAsync(kind, new SparseBytes(image.Length), image, 0, []));
        var refusals = new Dictionary<FormatError, int>();
        var (read, slowest) = (0, TimeSpan.Zero);
        for (var range = 0; range < ranges.Length; range += 2)
        {
            var first = ranges[range] < 0 ? image.Length + ranges[range] : ranges[range];
            for (var at = first; at < first + ranges[range + 1]; at += 2)
            {
                foreach (var value in Values)
                {
                    var started = Stopwatch.GetTimestamp();
                    var refusal = await ReadAsync(kind, new SparseBytes(image.Length), image, at, value);
                    var took = Stopwatch.GetElapsedTime(started);
                    slowest = took > slowest ? took : slowest;
                    read += refusal is null ? 1 : 0;
                    if (refusal is { } error)
                    {
                        refusals[error] = refusals.GetValueOrDefault(error) + 1;
                    }
                }
            }
        }

        Assert.True(refusals.Count >= 3, $"Only refused as {string.Join(", ", refusals.Keys)}.");
        Assert.True(read > 20, $"Only {read} were read.");
        Assert.True(slowest < FuzzTargets.BudgetTime * 10, $"One took {slowest.TotalSeconds:F1} s.");
    }

    /// <summary>Opens and reads a spoilt image whose checksums are right.</summary>
    private static async Task<FormatError?> ReadAsync(
        DiskFormat format, SparseBytes file, byte[] image, int at, byte[] value)
    {
        file.Write(0, image);
        file.Write(at, value);
        file.RepairChecksums();
        try
        {
            await using var disk = await DiskImages.OpenAsync(file, format, DiskOpenOptions.Strict, Disk.Stop);
            await FuzzTargets.ReadAsync(disk);
            return null;
        }
        catch (ImageFormatException refusal)
        {
            return refusal.Error;
        }
    }

    internal static async Task<byte[]> MakeAsync(TempDirectory directory, string format, string options)
    {
        var disk = new byte[DiskBytes];
        var random = new Random(3);
        random.NextBytes(disk.AsSpan(0, 70_000));
        random.NextBytes(disk.AsSpan(2 << 20, 70_000));
        random.NextBytes(disk.AsSpan(DiskBytes - 100));
        await File.WriteAllBytesAsync(directory.File("in.raw"), disk, Disk.Stop);
        QemuImg.Run(
            "convert", "-f", "raw", "-O", format, "-o", options, directory.File("in.raw"), directory.File("image"));
        return await File.ReadAllBytesAsync(directory.File("image"), Disk.Stop);
    }
}
