using FsCheck;
using FsCheck.Fluent;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Blobs;

public sealed class VerifiedBlobTests
{
    private const int Page = BlobIndex.BlocksPerPage * BlobIndex.BlockBytes;

    private static readonly Config Checks = Config.QuickThrowOnFailure.WithQuietOnSuccess(true);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public void Whatever_is_written_in_whatever_chunks_reads_back_from_anywhere()
    {
        Prop.ForAll(Datas().Zip(Chunks()).Zip(Ranges()).ToArbitrary(), sample =>
        {
            var ((data, chunks), ranges) = sample;
            var (store, location) = Write(data, chunks, map: data.AsSpan(0, data.Length / 3).ToArray());
            var (_, other) = Write(data, [data.Length], map: data.AsSpan(0, data.Length / 3).ToArray());
            Assert.Equal(location.IndexDigest, other.IndexDigest);

            var blob = Open(store, location);
            Assert.Equal(data.Length, blob.Length);
            foreach (var (from, length) in ranges)
            {
                var offset = (int)(from * (data.Length + 10L));
                var buffer = new byte[length];
                Array.Fill(buffer, (byte)0xEE);
                var read = Await(blob.ReadAsync(offset, buffer, default));
                Assert.Equal(Math.Clamp(data.Length - offset, 0, length), read);
                Assert.True(data.AsSpan(Math.Min(offset, data.Length), read).SequenceEqual(buffer.AsSpan(0, read)));
            }

            var map = new byte[blob.MapLength + 5];
            Assert.Equal(blob.MapLength, Await(blob.ReadMapAsync(0, map, default)));
            Assert.True(data.AsSpan(0, data.Length / 3).SequenceEqual(map.AsSpan(0, (int)blob.MapLength)));
        }).Check(Checks.WithMaxTest(150));
    }

    [Fact]
    public void Runs_are_the_pieces_of_zeroes_and_of_data_joined()
    {
        Prop.ForAll(Datas().ToArbitrary(), data =>
        {
            var (store, location) = Write(data, [data.Length]);
            var blob = Open(store, location);
            var at = 0L;
            var isFirst = true;
            var wasZero = false;
            while (at < data.Length)
            {
                var run = Await(blob.RunAsync(at, default));
                Assert.InRange(run.Length, 1, data.Length - at);
                Assert.True(isFirst || run.IsZero != wasZero, "runs of one kind follow one another");
                for (var piece = at; piece < at + run.Length; piece += BlobIndex.PieceBytes)
                {
                    var bytes = data.AsSpan((int)piece, (int)Math.Min(BlobIndex.PieceBytes, data.Length - piece));
                    Assert.Equal(run.IsZero, !bytes.ContainsAnyExcept((byte)0));
                }

                (at, wasZero, isFirst) = (at + run.Length, run.IsZero, false);
            }

            Assert.DoesNotContain(store.Reads, read => read.Part == BlobPart.Data);
        }).Check(Checks.WithMaxTest(150));
    }

    [Fact]
    public async Task A_run_that_starts_within_a_piece_ends_where_the_piece_says()
    {
        var data = new byte[10 * BlobIndex.PieceBytes];
        data[(3 * BlobIndex.PieceBytes) + 1] = 1;
        var (store, location) = Write(data, [data.Length]);
        var blob = Open(store, location);
        Assert.Equal(new BlobRun((3 * BlobIndex.PieceBytes) - 5, IsZero: true), await blob.RunAsync(5, Cancellation));
        Assert.Equal(new BlobRun(1, IsZero: false), await blob.RunAsync((4 * BlobIndex.PieceBytes) - 1, Cancellation));
    }

    [Fact]
    public async Task Only_what_is_not_zero_is_read_in_one_read_for_each_stretch()
    {
        var data = new byte[Page + (3 * BlobIndex.BlockBytes)];
        Fill(data, Page - 20_480, 40_960); // across blocks and across pages
        Fill(data, 8_192, 4_096);
        var (store, location) = Write(data, [data.Length]);
        var blob = Open(store, location);
        store.Reads.Clear();
        var buffer = new byte[data.Length];
        Assert.Equal(data.Length, await blob.ReadAsync(0, buffer, Cancellation));
        Assert.Equal(data, buffer);
        Assert.Equal(
            [(BlobPart.Data, 8_192, 4_096), (BlobPart.Data, Page - 20_480, 40_960)],
            store.Reads.Where(read => read.Part == BlobPart.Data));
        Assert.Equal(45_056, blob.BytesRead - blob.IndexBytesRead);
    }

    [Fact]
    public async Task An_image_of_zeroes_is_read_without_reading()
    {
        var data = new byte[(2 * Page) + 5];
        var (store, location) = Write(data, [data.Length]);
        Assert.Equal((3 * 36) + 68, location.IndexLength);
        var blob = Open(store, location);
        Assert.Equal(new BlobRun(data.Length - 7, IsZero: true), await blob.RunAsync(7, Cancellation));
        Assert.Equal(100, await blob.ReadAsync(Page - 50, new byte[100], Cancellation));
        Assert.Equal(location.IndexLength, blob.BytesRead);
    }

    [Fact]
    public async Task Small_reads_one_after_another_read_each_block_once()
    {
        var data = Random(10 * BlobIndex.BlockBytes);
        var (store, location) = Write(data, [data.Length]);
        var blob = Open(store, location);
        await Parallel.ForEachAsync(Enumerable.Range(0, data.Length / 1000), Cancellation, async (i, token) =>
        {
            var buffer = new byte[1000];
            await blob.ReadAsync(i * 1000, buffer, token);
            Assert.Equal(data[(i * 1000)..((i + 1) * 1000)], buffer);
        });
        Assert.Equal(data.Length, blob.BytesRead - blob.IndexBytesRead);
    }

    [Fact]
    public async Task A_bit_that_flips_on_the_way_is_read_again_and_one_that_stays_flipped_is_told()
    {
        var data = Random((3 * BlobIndex.BlockBytes) + 77);
        var (store, location) = Write(data, [data.Length]);
        var blob = Open(store, location);
        store.FlipNextReads(1);
        var buffer = new byte[data.Length];
        await blob.ReadAsync(0, buffer, Cancellation);
        Assert.Equal(data, buffer);

        store.Data[(2 * BlobIndex.BlockBytes) + 1] ^= 0x80;
        var damage = await Assert.ThrowsAsync<BlobCorruptException>(
            async () => await blob.ReadAsync(0, buffer, Cancellation));
        Assert.Equal((BlobPart.Data, 2L * BlobIndex.BlockBytes), (damage.Part, damage.Offset));
        Assert.Equal(
            BlobIndex.BlockBytes, await blob.ReadAsync(0, buffer.AsMemory(0, BlobIndex.BlockBytes), Cancellation));
    }

    [Fact]
    public async Task A_blob_cut_short_is_told()
    {
        var data = Random(100_000);
        var (store, location) = Write(data, [data.Length]);
        store.Data = store.Data[..^1];
        await Assert.ThrowsAsync<BlobCorruptException>(
            async () => await Open(store, location).ReadAsync(0, new byte[data.Length], Cancellation));
    }

    [Fact]
    public async Task Every_flipped_byte_of_the_index_is_told()
    {
        var data = Random((5 * BlobIndex.BlockBytes) + 77);
        data.AsSpan(BlobIndex.BlockBytes, BlobIndex.BlockBytes).Clear();
        var (store, location) = Write(data, [data.Length], map: Random(70_000));
        for (var at = 0; at < store.Index.Length; at += at > 400 && at < store.Index.Length - 300 ? 997 : 1)
        {
            store.Index[at] ^= 0x10;
            await Assert.ThrowsAsync<BlobCorruptException>(async () =>
            {
                var blob = await VerifiedBlob.OpenAsync(store, location, Cancellation);
                await blob.ReadAsync(0, new byte[data.Length], Cancellation);
                await blob.ReadMapAsync(0, new byte[70_000], Cancellation);
            });
            store.Index[at] ^= 0x10;
        }
    }

    [Fact]
    public void Every_flipped_byte_of_the_data_is_told_or_was_never_looked_at()
    {
        Prop.ForAll(Datas().Where(d => d.Length > 0).Zip(Gen.Choose(0, int.MaxValue)).ToArbitrary(), sample =>
        {
            var (data, seed) = sample;
            var (store, location) = Write(data, [data.Length]);
            store.Data[seed % data.Length] ^= 1;
            var buffer = new byte[data.Length];
            try
            {
                Await(Open(store, location).ReadAsync(0, buffer, default));
                Assert.Equal(data, buffer); // a piece known to be zero: the damage is not even read
            }
            catch (BlobCorruptException)
            {
                // told
            }
        }).Check(Checks);
    }

    [Fact]
    public async Task An_index_of_another_blob_is_refused()
    {
        var (store, location) = Write(Random(100), [100]);
        var (other, _) = Write(Random(101), [101]);
        store.Index = other.Index;
        await Assert.ThrowsAsync<BlobCorruptException>(
            async () => await VerifiedBlob.OpenAsync(store, location, Cancellation));
    }

    [Fact]
    public async Task Memory_of_the_writer_is_bounded()
    {
        var writer = new BlobIndexWriter((_, _) => ValueTask.CompletedTask);
        var chunk = Random(1 << 20);
        await writer.AppendAsync(chunk, Cancellation);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 256; i++)
        {
            await writer.AppendAsync(chunk, Cancellation);
        }

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64 * 1024);
    }

    /// <summary>Makes a blob of some data.</summary>
    internal static (MemoryStore Store, ImageLocation Location) Write(byte[] data, int[] chunks, byte[]? map = null)
    {
        var index = new MemoryStream();
        var writer = new BlobIndexWriter((bytes, _) =>
        {
            index.Write(bytes.Span);
            return ValueTask.CompletedTask;
        });
        for (int at = 0, i = 0; at < data.Length; i++)
        {
            var length = Math.Min(Math.Max(1, chunks[i % chunks.Length]), data.Length - at);
            Await(writer.AppendAsync(data.AsMemory(at, length), default));
            at += length;
        }

        for (var at = 0; map is not null && at < map.Length; at += 50_000)
        {
            Await(writer.AppendMapAsync(map.AsMemory(at, Math.Min(50_000, map.Length - at)), default));
        }

        var summary = writer.FinishAsync(default).AsTask().GetAwaiter().GetResult();
        Assert.Equal(index.Length, summary.IndexLength);
        Assert.Equal(data.Length, writer.DataLength);
        var store = new MemoryStore { Data = [.. data], Index = index.ToArray() };
        return (store, new ImageLocation(
            new(Images.NewId(), 1), store.Id, data.Length, summary.IndexLength, summary.IndexDigest.Span, Images.Now));
    }

    private static VerifiedBlob Open(IBlobStore store, ImageLocation location) =>
        VerifiedBlob.OpenAsync(store, location, default).AsTask().GetAwaiter().GetResult();

    private static void Await(ValueTask task) => task.AsTask().GetAwaiter().GetResult();

    private static T Await<T>(ValueTask<T> task) => task.AsTask().GetAwaiter().GetResult();

    private static byte[] Random(int length)
    {
        var bytes = new byte[length];
        new System.Random(length).NextBytes(bytes);
        return bytes;
    }

    private static void Fill(byte[] data, int offset, int length) => data.AsSpan(offset, length).Fill(7);

    // Stretches of zeroes and of data, of lengths around everything that is a boundary.
    private static Gen<byte[]> Datas() =>
        from stretches in Gen.Zip(
            Gen.Elements(1, 100, 4095, 4096, 4097, 8192, 65_535, 65_536, 65_537, 200_000, 1_000_000),
            Gen.Elements(true, false)).ListOf().Resize(8)
        from seed in Gen.Choose(0, int.MaxValue)
        select Compose([.. stretches], seed);

    private static byte[] Compose((int Length, bool IsZero)[] stretches, int seed)
    {
        var data = new byte[stretches.Sum(stretch => stretch.Length)];
        var random = new System.Random(seed);
        var at = 0;
        foreach (var (length, isZero) in stretches)
        {
            if (!isZero)
            {
                random.NextBytes(data.AsSpan(at, length));
            }

            at += length;
        }

        return data;
    }

    private static Gen<int[]> Chunks() =>
        Gen.Elements(1000, 4096, 65_536, 65_537, 100_000, 1 << 20)
            .NonEmptyListOf().Resize(4).Select(list => list.ToArray());

    private static Gen<List<(double From, int Length)>> Ranges() =>
        Gen.Choose(0, 1000).Zip(Gen.Elements(0, 1, 100, 4096, 65_536, 65_537, 131_072, 500_001))
            .Select(pair => (pair.Item1 / 1000.0, pair.Item2)).ListOf(6).Select(list => list.ToList());
}
