using FsCheck;
using FsCheck.Fluent;
using Registry.Storage.Blobs;

namespace Registry.Storage.Tests.Blobs.Cache;

/// <summary>Whatever becomes of the cache's files, what is read is what was uploaded.</summary>
public sealed class CacheFaultTests
{
    private const int Block = BlobIndex.BlockBytes;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public void Reads_amid_damage_evictions_and_restarts_are_right()
    {
        Prop.ForAll(Gen.Choose(0, int.MaxValue).ToArbitrary(), seed => Play(seed).GetAwaiter().GetResult())
            .Check(Config.QuickThrowOnFailure.WithQuietOnSuccess(true).WithMaxTest(40));
    }

    [Fact]
    public async Task A_flipped_bit_costs_one_block()
    {
        using var lab = new CacheLab();
        var data = CacheLab.Noise(1 << 20);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
        await lab.ReadAllAsync(store, location, data);
        CacheLab.Flip(lab.Files.Single(file => file.EndsWith("data.0", StringComparison.Ordinal)), (3 * Block) + 77);
        store.Reads.Clear();
        await lab.ReadAllAsync(store, location, data);
        Assert.Equal((BlobPart.Data, 3L * Block, Block), Assert.Single(store.Reads));
        await lab.ReadAllAsync(store, location, data);
        Assert.Single(store.Reads); // it was mended
    }

    [Fact]
    public async Task A_damaged_index_is_fetched_again()
    {
        using var lab = new CacheLab();
        var data = CacheLab.Noise(1 << 20);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length], map: data[..200_000]);
        await lab.ReadAllAsync(store, location, data);
        var file = lab.Files.Single(file => file.EndsWith("index.0", StringComparison.Ordinal));
        foreach (var offset in new[] { 10L, 100_000, location.IndexLength - 5, location.IndexLength - 100 })
        {
            CacheLab.Flip(file, offset);
            await lab.ReadAllAsync(store, location, data);
            var blob = await lab.OpenAsync(store, location);
            var map = new byte[200_000];
            Assert.Equal(map.Length, await blob.ReadMapAsync(0, map, Stop));
            Assert.Equal(data[..200_000], map);
        }

        store.BeforeRead = (_, _) => throw new IOException("the store is away");
        await lab.ReadAllAsync(store, location, data); // all of it was mended
    }

    [Fact]
    public async Task Truncated_and_missing_files_are_fetched_again()
    {
        using var lab = new CacheLab();
        var data = CacheLab.Noise(1 << 20);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
        await lab.ReadAllAsync(store, location, data);
        var file = lab.Files.Single(file => file.EndsWith("data.0", StringComparison.Ordinal));
        await using (var stream = File.Open(file, FileMode.Open))
        {
            stream.SetLength((5 * Block) + 1);
        }

        store.Reads.Clear();
        await lab.ReadAllAsync(store, location, data);
        Assert.Equal(data.Length - (5 * Block), CacheLab.Asked(store));
        File.Delete(file);
        await lab.ReadAllAsync(store, location, data);
        Directory.Delete(Path.Combine(lab.Directory, "blocks"), recursive: true);
        await lab.ReadAllAsync(store, location, data);
        store.BeforeRead = (_, _) => throw new IOException("the store is away");
        await lab.ReadAllAsync(store, location, data);
    }

    [Fact]
    public async Task Damage_in_the_store_is_told_and_not_kept()
    {
        using var lab = new CacheLab();
        var data = CacheLab.Noise(4 * Block);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
        store.Data[Block + 5] ^= 1;
        var blob = await lab.OpenAsync(store, location);
        await Assert.ThrowsAsync<BlobCorruptException>(
            async () => await blob.ReadAsync(0, new byte[4 * Block], Stop));
        store.Data[Block + 5] ^= 1;
        await lab.ReadAllAsync(store, location, data);
    }

    [Fact]
    public async Task A_full_disk_costs_the_cache_and_no_read()
    {
        using var disk = SmallFileSystem.TryMount(2 << 20);
        Assert.SkipWhen(disk is null, "mounting is not allowed");
        using var lab = new CacheLab(directory: Path.Combine(disk.Path, "cache"));
        var data = CacheLab.Noise(6 << 20);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
        for (var round = 0; round < 3; round++)
        {
            await Task.WhenAll(Enumerable.Range(0, 4).Select(
                _ => Task.Run(() => lab.ReadAllAsync(store, location, data), Stop)));
            Assert.InRange(lab.Cache.Bytes, 0, 2 << 20);
            lab.Time.Advance(TimeSpan.FromMinutes(1)); // and it is tried again
        }
    }

    [Fact]
    public async Task A_directory_that_cannot_be_written_any_more_costs_no_read()
    {
        using var lab = new CacheLab();
        var data = CacheLab.Noise(1 << 20);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
        var blocks = Path.Combine(lab.Directory, "blocks");
        Directory.Delete(blocks);
        await File.WriteAllTextAsync(blocks, "in the way", Stop);
        await lab.ReadAllAsync(store, location, data);
        await lab.ReadAllAsync(store, location, data);
        Assert.Equal(2 * data.Length, CacheLab.Asked(store));
        File.Delete(blocks);
        lab.Time.Advance(TimeSpan.FromMinutes(1));
        await lab.ReadAllAsync(store, location, data);
        await lab.ReadAllAsync(store, location, data);
        Assert.Equal(3 * data.Length, CacheLab.Asked(store));
    }

    [Fact]
    public async Task Leftovers_of_a_crash_are_found_out()
    {
        using var lab = new CacheLab();
        var data = CacheLab.Noise(1 << 20);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
        await lab.ReadAllAsync(store, location, data);
        var file = lab.Files.Single(file => file.EndsWith("data.0", StringComparison.Ordinal));
        await using (var stream = File.Open(file, FileMode.Open))
        {
            stream.Position = 9 * Block;
            stream.Write(new byte[Block / 2]); // half of a block was written, and of the rest nothing
            stream.SetLength(12 * Block);
        }

        var empty = Path.Combine(Path.GetDirectoryName(file)!, $"{location.ImageId}.{location.Generation}.data.5");
        await File.WriteAllBytesAsync(empty, [], Stop);
        lab.Restart();
        Assert.False(File.Exists(empty));
        await lab.ReadAllAsync(store, location, data);
    }

    // A model of one: the bytes themselves.
    private static async Task Play(int seed)
    {
        var random = new Random(seed);
        using var lab = new CacheLab(maxBytes: random.Next(1, 4) << 20);
        var blobs = Enumerable.Range(0, 3).Select(n =>
        {
            var data = CacheLab.Noise(random.Next(1, 3 << 20), seed + n);
            for (var hole = 0; hole < 3; hole++)
            {
                var from = random.Next(data.Length);
                data.AsSpan(from, Math.Min(random.Next(400_000), data.Length - from)).Clear();
            }

            var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
            return (Data: data, Store: store, Location: location);
        }).ToList();
        for (var step = 0; step < 40; step++)
        {
            switch (random.Next(10))
            {
                case 0 when lab.Files is { Length: > 0 } files:
                    var file = files[random.Next(files.Length)];
                    var length = new FileInfo(file).Length;
                    CacheLab.Flip(file, random.NextInt64(Math.Max(1, length)));
                    break;
                case 1 when lab.Files is { Length: > 0 } files:
                    await using (var stream = File.Open(files[random.Next(files.Length)], FileMode.Open))
                    {
                        stream.SetLength(random.NextInt64(stream.Length + 1));
                    }

                    break;
                case 2:
                    lab.Restart();
                    break;
                case 3 when random.Next(3) == 0:
                    lab.Cache.Drop(_ => random.Next(2) == 0);
                    break;
                default:
                    await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => (random.Next(3), random.NextDouble(), random.Next(700_000)))
                        .ToList().Select(one => ReadAsync(lab, blobs[one.Item1], one.Item2, one.Item3)));
                    break;
            }

            Assert.InRange(lab.Cache.Bytes, 0, 4 << 20);
        }
    }

    private static async Task ReadAsync(
        CacheLab lab, (byte[] Data, MemoryStore Store, Registry.Storage.Domain.ImageLocation Location) one, double from, int length)
    {
        var blob = await lab.OpenAsync(one.Store, one.Location);
        var offset = (int)(from * one.Data.Length);
        var buffer = new byte[length];
        Array.Fill(buffer, (byte)0xEE);
        var read = await blob.ReadAsync(offset, buffer, Stop);
        Assert.Equal(Math.Min(length, one.Data.Length - offset), read);
        Assert.True(one.Data.AsSpan(offset, read).SequenceEqual(buffer.AsSpan(0, read)));
    }
}
