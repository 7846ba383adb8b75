using System.Diagnostics;
using System.Globalization;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Tests.Oracle;
using Registry.Support;

namespace Registry.Bench;

/// <summary>Conversions from a server that takes its time for each request.</summary>
internal static class RemoteBench
{
    private static readonly TimeSpan Delay = TimeSpan.FromMilliseconds(10);

    /// <summary>Converts images to raw and prints requests, bytes and seconds.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(string[] arguments)
    {
        var directory = ConvertBench.Directory(arguments);
        BenchImages.Make(directory, ConvertBench.Option(arguments, "--tree"));
        var target = Path.Combine(directory, "out");
        foreach (var name in new[] { "frag.qcow2", "tree-zstd.qcow2", "tree.qcow2" })
        {
            var path = Path.Combine(directory, name);
            var stored = File.OpenHandle(path);
            var length = RandomAccess.GetLength(stored);
            stored.Dispose();
            File.Delete(target);
            await using var server = new FileServer(directory, Delay);
            await using var source = new HttpBytes(server.UrlOf(name), length);
            var watch = Stopwatch.StartNew();
            await using var image = await DiskImages.OpenAsync(
                source, DiskFormat.Qcow2, new DiskOpenOptions { Limits = Limits.Local }, default);
            var options = new ConvertOptions { Read = DiskReadOptions.Remote, IsDurable = false };
            await Converter.ConvertAsync(image, target, DiskFormat.Raw, options, default);
            var seconds = watch.Elapsed.TotalSeconds;
            Child.Run("qemu-img", ["compare", "-q", "-f", "qcow2", "-F", "raw", path, target]);
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{name,-18} {server.Requests,6} requests {server.Bytes,11} bytes, " +
                $"{(double)server.Bytes / length:F3} of the file, {seconds:F2} s; identical"));
        }

        return 0;
    }
}
