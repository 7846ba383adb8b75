using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Tests.Oracle;
using Registry.Support;

namespace Registry.Engine.Tests.Convert;

/// <summary>What a conversion asks of a store that takes its time for each request.</summary>
public sealed class RemoteTests
{
    private const int Cluster = 64 << 10;
    private const int Clusters = 1024;

    [Fact]
    public async Task A_disk_in_fragments_takes_few_requests_and_no_byte_twice()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var path = directory.File("frag.qcow2");
        QemuImg.Create(path, (long)Clusters * Cluster);
        var order = Enumerable.Range(0, Clusters).ToArray();
        new Random(7).Shuffle(order);
        QemuImg.Io(path, order.Select(c => $"write -q -P {1 + (c % 250)} {c * Cluster} {Cluster}"));

        var stored = new FileInfo(path).Length;
        await using var server = new FileServer(directory.Path, TimeSpan.FromMilliseconds(10));
        await using var source = new HttpBytes(server.UrlOf("frag.qcow2"), stored);
        await using var image = await Disk.OpenQcow(source, Limits.Local);
        var options = new ConvertOptions { Read = DiskReadOptions.Remote, IsDurable = false };
        await Converter.ConvertAsync(image, directory.File("out"), DiskFormat.Raw, options, Disk.Stop);

        QemuImg.Compare(path, "qcow2", directory.File("out"), "raw");
        var ranges = (stored + DiskReadOptions.Remote.MaxRangeBytes - 1) / DiskReadOptions.Remote.MaxRangeBytes;
        Assert.InRange(server.Requests, ranges, ranges + 8);
        Assert.InRange(server.Bytes, (long)Clusters * Cluster, stored * 1.02);
    }
}
