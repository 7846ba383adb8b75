using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Qcow2;

public sealed class QcowSnapshotTests
{
    private const int M = 1 << 20;

    [Fact]
    public async Task A_snapshot_has_the_size_that_its_disk_had()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var path = Make(directory);
        foreach (var (wanted, size) in new[] { ("small", 2L * M), ("large", 700L * M), ("1", 2L * M) })
        {
            await using var bytes = FileBytes.OpenRead(path);
            await using var image = await QcowImage.OpenAsync(
                bytes, DiskOpenOptions.Local(path) with { Snapshot = wanted }, Disk.Stop);
            Assert.Equal(size, image.VirtualSize);

            // 700 MiB need a second L2 table, which the smaller disk's L1 table has no room for.
            var last = new byte[512];
            await image.ReadAsync(size - 512, last, Disk.Stop);
            Assert.Equal(size == 2 * M ? (byte)1 : (byte)2, last[0]);
        }
    }

    [Theory]
    [InlineData("nobody")]
    [InlineData("snapshot.id=small")]
    [InlineData("snapshot.name=1")]
    [InlineData("snapshot.id=2,snapshot.name=small")]
    [InlineData("snapshot.color=blue")]
    public async Task A_snapshot_that_is_not_there_is_refused(string wanted)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var path = Make(directory);
        await using var bytes = FileBytes.OpenRead(path);
        Assert.Equal(FormatError.UnknownSnapshot, await Disk.Refusal(async () => await QcowImage.OpenAsync(
            bytes, DiskOpenOptions.Local(path) with { Snapshot = wanted }, Disk.Stop)));
    }

    private static string Make(TempDirectory directory)
    {
        var path = directory.File("disk");
        QemuImg.Create(path, 2 * M);
        QemuImg.Io(path, ["write -P 1 0 2M"]);
        QemuImg.Run("snapshot", "-c", "small", path);
        QemuImg.Run("resize", "-q", path, "700M");
        QemuImg.Io(path, ["write -P 2 699M 1M"]);
        QemuImg.Run("snapshot", "-c", "large", path);
        QemuImg.Run("snapshot", "-a", "small", path);
        return path;
    }
}
