using Registry.Engine.Bytes;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Bytes;

public sealed class DirectFileTests : IDisposable
{
    private const int SizeMax = 12 << 20;

    private readonly TempDirectory files = new();

    public void Dispose() => files.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task What_is_written_is_there(int seed)
    {
        await using var file = new DirectFile(FileBytes.CreateNew(files.File("disk")));
        await ScribbleAsync(file, seed);
    }

    [Fact]
    public async Task What_the_file_system_refuses_goes_through_the_cache()
    {
        // Its driver says EINVAL to all that is no number.
        using var refusing = File.OpenHandle("/proc/self/oom_score_adj", FileMode.Open, FileAccess.Write);
        await using var file = new DirectFile(FileBytes.CreateNew(files.File("disk")), refusing);
        Assert.True(file.IsDirect);
        await ScribbleAsync(file, 5);
        Assert.False(file.IsDirect);
    }

    [Fact]
    public async Task Where_there_are_no_such_writes_it_is_a_file()
    {
        await using var file = new DirectFile(FileBytes.CreateNew(files.File("disk")), direct: null);
        Assert.False(file.IsDirect);
        await ScribbleAsync(file, 6);
    }

    [Fact]
    public async Task A_failure_is_told_no_later_than_by_the_flush()
    {
        using var full = File.OpenHandle("/dev/full", FileMode.Open, FileAccess.Write);
        await using var file = new DirectFile(FileBytes.CreateNew(files.File("disk")), full);
        await file.WriteAsync(0, new byte[1 << 20], Disk.Stop);
        for (var i = 0; i < 2; i++)
        {
            var told = await Assert.ThrowsAsync<IOException>(async () => await file.FlushAsync(Disk.Stop));
            Assert.Contains(files.File("disk"), told.Message, StringComparison.Ordinal);
        }
    }

    // Runs that follow each other, most of them; some that go back over what is there, of all sizes and at all places.
    private static async Task ScribbleAsync(DirectFile file, int seed)
    {
        var cancellation = Disk.Stop;
        var random = new Random(seed);
        var expected = new byte[SizeMax];
        var (length, at) = (0L, 0L);
        for (var i = 0; i < 300; i++)
        {
            at = random.Next(4) == 0 ? random.Next(SizeMax) : at;
            at = random.Next(3) == 0 ? at & -4096 : at;
            var size = (int)Math.Min(SizeMax - at, random.Next(10) == 0 ? random.Next(3 << 20) : random.Next(100_000));
            switch (random.Next(20))
            {
                case 0:
                    await file.ZeroAsync(at, size, cancellation);
                    expected.AsSpan((int)at, size).Clear();
                    break;
                case 1:
                    var seen = new byte[size];
                    var read = await file.ReadAsync(at, seen, cancellation);
                    Assert.Equal(Math.Clamp(length - at, 0, size), read);
                    Assert.True(seen.AsSpan(0, read).SequenceEqual(expected.AsSpan((int)at, read)));
                    continue;
                case 2:
                    await file.FlushAsync(cancellation);
                    continue;
                default:
                    var data = new byte[size];
                    random.NextBytes(data);
                    await file.WriteAsync(at, data, cancellation);
                    data.CopyTo(expected, at);
                    Array.Clear(data); // is the caller's again
                    break;
            }

            at += size;
            length = Math.Max(length, at);
            Assert.Equal(length, file.Length);
        }

        await file.FlushAsync(cancellation);
        var whole = new byte[length];
        Assert.Equal(length, await file.ReadAsync(0, whole, cancellation));
        Assert.True(whole.AsSpan().SequenceEqual(expected.AsSpan(0, (int)length)));
    }
}
