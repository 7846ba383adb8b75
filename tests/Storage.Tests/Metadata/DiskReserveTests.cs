using System.Globalization;
using Microsoft.Extensions.Time.Testing;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Blobs;
using Registry.Support;

namespace Registry.Storage.Tests.Metadata;

public sealed class DiskReserveTests : IDisposable
{
    private const long Bytes = 1 << 20;
    private readonly TempDirectory _directory = new();
    private readonly FakeTimeProvider _time = new();

    private string Reserve => Path.Combine(_directory.Path, "reserve");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_reserve_is_allocated_given_up_bit_by_bit_and_filled_again()
    {
        using var reserve = DiskReserve.Open(_directory.Path, Bytes, _time);
        Assert.Equal(Bytes, new FileInfo(Reserve).Length);
        Assert.False(reserve.IsSpent);

        var releases = 0;
        while (reserve.Release())
        {
            releases++;
            Assert.True(reserve.IsSpent);
            Assert.Equal(Bytes - (releases * Bytes / 16), new FileInfo(Reserve).Length);
        }

        Assert.Equal(16, releases);
        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.False(reserve.IsSpent); // the disk of the test has room
        Assert.Equal(Bytes, new FileInfo(Reserve).Length);
        Assert.True(reserve.Release());
    }

    [Fact]
    public void What_is_given_up_goes_to_the_log_of_the_database()
    {
        var log = Path.Combine(_directory.Path, "registry.db-wal");
        File.WriteAllBytes(log, new byte[100]);
        using var reserve = DiskReserve.Open(_directory.Path, Bytes, _time);
        var before = Blocks(log);
        Assert.True(reserve.Release());
        Assert.Equal(100, new FileInfo(log).Length);
        Assert.InRange(Blocks(log) - before, Bytes / 16 / 512, long.MaxValue);
    }

    [Fact]
    public void A_reserve_of_nothing_is_never_spent_and_gives_nothing()
    {
        using var reserve = DiskReserve.Open(_directory.Path, 0, _time);
        Assert.False(reserve.IsSpent);
        Assert.False(reserve.Release());
    }

    [Fact]
    public void A_reserve_that_was_given_up_by_a_killed_process_is_filled_by_the_next()
    {
        using (var killed = DiskReserve.Open(_directory.Path, Bytes, _time))
        {
            Assert.True(killed.Release());
        }

        using var next = DiskReserve.Open(_directory.Path, Bytes, _time);
        Assert.False(next.IsSpent);
        Assert.Equal(Bytes, new FileInfo(Reserve).Length);
    }

    private static long Blocks(string file) =>
        long.Parse(Shell.Run("stat", "--format=%b", file), CultureInfo.InvariantCulture);
}
