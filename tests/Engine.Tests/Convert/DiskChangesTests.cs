using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Raw;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Convert;

public sealed class DiskChangesTests
{
    private const int Block = DiskChanges.BlockBytes;

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 60)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task The_runs_are_exactly_the_blocks_that_differ_and_make_the_older_disk_the_newer_one(int seed)
    {
        var random = new Random(seed);
        var older = new byte[random.Next(1, 4000) * 512];
        Scribble(older, random);
        var newer = new byte[random.Next(3) == 0 ? random.Next(1, 4000) * 512 : older.Length];
        older.AsSpan(0, Math.Min(older.Length, newer.Length)).CopyTo(newer);
        Scribble(newer, random);
        await using var disk = await StoredAsync(newer, random);
        await using var since = await StoredAsync(older, random);
        var options = DiskReadOptions.Default with
        {
            MaxRangeBytes = 64 << 10 << random.Next(4),
            Parallelism = random.Next(1, 4),
        };
        var runs = await FoundAsync(disk, since, options);

        Assert.Equal(Expected(older, newer), runs);
        Array.Resize(ref older, newer.Length);
        foreach (var run in runs)
        {
            var part = older.AsSpan((int)run.Start, (int)run.Length);
            if (run.IsZero)
            {
                part.Clear();
            }
            else
            {
                newer.AsSpan((int)run.Start, (int)run.Length).CopyTo(part);
            }
        }

        Assert.Equal(newer, older);
    }

    [Fact]
    public async Task Where_neither_disk_stores_anything_nothing_is_read()
    {
        const long size = 1L << 40;
        await using var disk = new ListedImage(
            new MemoryBytes(new byte[512]),
            [
                new Extent(0, size / 2, ExtentKind.Hole, 0, 0), new Extent(size / 2, 512, ExtentKind.Data, 0, 512),
                new Extent((size / 2) + 512, (size / 2) - 512, ExtentKind.Hole, 0, 0),
            ]);
        await using var since = new ListedImage(
            new MemoryBytes([]), [new Extent(0, size, ExtentKind.Hole, 0, 0)]);
        var totals = new DiskReadTotals();
        Assert.Empty(await FoundAsync(disk, since, DiskReadOptions.Default with { Totals = totals }));
        Assert.Equal(512, totals.BytesFetched);
    }

    private static async Task<List<ChangedRun>> FoundAsync(DiskImage disk, DiskImage since, DiskReadOptions options)
    {
        var runs = new List<ChangedRun>();
        await foreach (var run in DiskChanges.FindAsync(disk, since, options, Disk.Stop))
        {
            runs.Add(run);
        }

        return runs;
    }

    // One block after the other, and neighbours of one kind put together.
    private static List<ChangedRun> Expected(byte[] older, byte[] newer)
    {
        var padded = new byte[Math.Max(older.Length, newer.Length)];
        older.CopyTo(padded, 0);
        var runs = new List<ChangedRun>();
        for (var start = 0; start < newer.Length; start += Block)
        {
            var now = newer.AsSpan(start, Math.Min(Block, newer.Length - start));
            if (now.SequenceEqual(padded.AsSpan(start, now.Length)))
            {
                continue;
            }

            var run = new ChangedRun(start, now.Length, !now.ContainsAnyExcept((byte)0));
            if (runs.Count > 0 && runs[^1] is var last && last.Start + last.Length == start && last.IsZero == run.IsZero)
            {
                runs[^1] = last with { Length = last.Length + now.Length };
            }
            else
            {
                runs.Add(run);
            }
        }

        return runs;
    }

    // As a raw disk, or as a qcow2 file without what is zero.
    private static async Task<DiskImage> StoredAsync(byte[] content, Random random)
    {
        var raw = new RawImage(new MemoryBytes(content));
        if (random.Next(3) == 0)
        {
            return raw;
        }

        var shape = QcowShape.Default with { ClusterSize = 512 << random.Next(10) };
        var layout = await QcowLayout.ForAsync(raw, content.Length, shape, Disk.Stop);
        using var file = new MemoryStream();
        await DiskBody.WriteQcowAsync(
            raw, layout, 0, layout.Length, DiskReadOptions.Default,
            (chunk, token) => file.WriteAsync(chunk, token), Disk.Stop);
        return await DiskImages.OpenAsync(
            new MemoryBytes(file.ToArray()), DiskFormat.Qcow2, DiskOpenOptions.Strict, Disk.Stop);
    }

    private static void Scribble(byte[] content, Random random)
    {
        for (var n = random.Next(8); n > 0; n--)
        {
            var part = content.AsSpan(random.Next(content.Length));
            part = part[..Math.Min(part.Length, 1 << random.Next(20))];
            if (random.Next(2) == 0)
            {
                random.NextBytes(part);
            }
            else
            {
                part.Clear();
            }
        }
    }
}
