using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Qcow2.Checking;
using Registry.Engine.Qcow2.Writing;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Model;

/// <summary>An image whose counts are too narrow for what is asked refuses before it changes anything.</summary>
public sealed class NarrowRefcountTests
{
    [Fact]
    public async Task A_snapshot_that_cannot_be_counted_is_refused_and_the_image_stays_as_it_is()
    {
        var file = new MemoryBytes();
        var options = new QcowCreateOptions { Size = 1 << 20, Shape = QcowShape.Default with { RefcountBits = 2 } };
        await using (var disk = await QcowDisk.CreateAsync(file, options, DiskOpenOptions.Strict, Disk.Stop))
        {
            await disk.WriteAsync(0, new byte[] { 1, 2, 3 }, Disk.Stop);
            await disk.CreateSnapshotAsync("one", DateTimeOffset.UnixEpoch, Disk.Stop);
            await disk.CreateSnapshotAsync("two", DateTimeOffset.UnixEpoch, Disk.Stop);

            await Assert.ThrowsAsync<DiskOperationException>(
                () => disk.CreateSnapshotAsync("three", DateTimeOffset.UnixEpoch, Disk.Stop).AsTask());
            await Assert.ThrowsAsync<DiskOperationException>(() => disk.ApplySnapshotAsync("one", Disk.Stop).AsTask());

            await disk.WriteAsync(1, new byte[] { 4 }, Disk.Stop);
        }

        Assert.True((await QcowCheck.CheckAsync(file, Disk.Stop)).IsClean);
        var local = DiskOpenOptions.Strict with { Limits = Limits.Local };
        await using var image = await QcowImage.OpenAsync(file, local, Disk.Stop);
        var content = new byte[3];
        await image.ReadAsync(0, content, Disk.Stop);
        Assert.Equal([1, 4, 3], content);
    }
}
