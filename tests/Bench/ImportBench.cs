using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using Registry.Support;

namespace Registry.Bench;

/// <summary>Imports of a VMDK by web-download that are converted to qcow2, beside the same by hand: curl to a file,
/// qemu-img convert, curl of the result to the same registry.</summary>
/// <remarks>In turn in each round, on a registry of SQLite and a directory, or of PostgreSQL and a real S3 server. The
/// ratio is the median of the rounds' own. What both have made is compared with the original.</remarks>
internal static class ImportBench
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);

    /// <summary>Runs and prints.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(string[] arguments)
    {
        var directory = ConvertBench.Directory(arguments);
        var rounds = int.Parse(ConvertBench.Option(arguments, "--rounds") ?? "3", CultureInfo.InvariantCulture);
        var isFull = arguments.Contains("--production");
        BenchImages.MakeVmdks(directory, ConvertBench.Option(arguments, "--tree"));
        await using var source = new FileServer(directory);
        using var files = new TempDirectory();
        var settings = new Dictionary<string, string>
        {
            ["Registry__Import__ConvertTo"] = "qcow2",
            ["Registry__Outbound__AllowedNetworks"] = "127.0.0.1/32",
            ["Registry__Outbound__AllowedPorts"] = $"{source.Port}",
            ["Registry__Stores__0__Id"] = "store",
            ["Registry__Stores__0__Path"] = files.File("store"),
            ["TMPDIR"] = Directory.CreateDirectory(files.File("tmp")).FullName,
        };
        await using var s3 = isFull ? await CephS3.StartAsync(8L << 30) : null;
        await using var postgres = isFull ? await PostgresServer.StartAsync() : null;
        if (isFull)
        {
            BenchedService.KeepIn(s3!, settings);
            await BenchedService.KeepInAsync(postgres!, settings);
        }

        Console.WriteLine($"SQLite and a directory: {!isFull}, PostgreSQL and S3: {isFull}");
        await using var registry = await RegistryProcess.StartAsync(
            Directory.CreateDirectory(files.File("data")).FullName, default, settings);
        foreach (var name in BenchImages.Vmdks)
        {
            await MeasureAsync(new Hand(registry, source, directory, files, name), rounds);
        }

        return 0;
    }

    private static async Task MeasureAsync(Hand hand, int rounds)
    {
        // Everything is compiled once, the source is in memory, and what comes out is right.
        await hand.EndAsync((await hand.ImportAsync()).Id, isCompared: true);
        await hand.EndAsync((await hand.ByHandAsync()).Id, isCompared: true);
        var (ours, theirs, peaks) = (new List<double>(), new List<double>(), "");
        for (var round = 0; round < rounds; round++)
        {
            Child.Run("sync", []);
            var (made, seconds) = await hand.ByHandAsync();
            theirs.Add(seconds);
            await hand.EndAsync(made, isCompared: false);
            Child.Run("sync", []);
            var (requests, bytes) = (hand.Source.Requests, hand.Source.Bytes);
            await using var watch = hand.Watch();
            (made, seconds) = await hand.ImportAsync();
            ours.Add(seconds);
            (requests, bytes) = (hand.Source.Requests - requests, hand.Source.Bytes - bytes);
            peaks = string.Create(
                CultureInfo.InvariantCulture,
                $"disk outside the store {watch.DiskBytesMax} bytes at most, {watch.DiskBytesBefore} before " +
                $"({(double)(watch.DiskBytesMax - watch.DiskBytesBefore) / hand.SourceBytes:P2} of the file more); memory " +
                $"{watch.AnonymousMax >> 10} MiB anonymous, {watch.ResidentMax >> 10} MiB resident at most, " +
                $"{watch.ResidentBefore >> 10} before; {requests} requests, {bytes} bytes, " +
                $"{(double)bytes / hand.SourceBytes:F3} of the file");
            await hand.EndAsync(made, isCompared: false);
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"  round {round + 1}: import {ours[^1]:F2} s, by hand {theirs[^1]:F2} s ({hand.Steps})"));
        }

        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{hand.Name}: import {Median(ours):F2} s, by hand {Median(theirs):F2} s ({hand.Steps}), ratio " +
            $"{Median(ours.Zip(theirs, (a, b) => a / b)):F2}; identical\n  {peaks}"));
    }

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToList();
        return sorted[sorted.Count / 2];
    }

    /// <summary>The two ways.</summary>
    private sealed class Hand(RegistryProcess registry, FileServer source, string directory, TempDirectory files, string name)
    {
        private readonly string _copy = files.File("copy.vmdk");
        private readonly string _result = files.File("result.qcow2");

        public string Name => name;

        public FileServer Source => source;

        public long SourceBytes { get; } = new FileInfo(Path.Combine(directory, name)).Length;

        /// <summary>What the steps by hand took the last time.</summary>
        public string Steps { get; private set; } = "";

        public ProcessWatch Watch() => new(registry, files.File("data"), files.File("tmp"));

        public async Task<(string Id, double Seconds)> ImportAsync()
        {
            var watch = Stopwatch.StartNew();
            var id = await CreateAsync("vmdk");
            using var started = await registry.Client.PostAsync(
                $"/v2/images/{id}/import",
                JsonContent.Create(new { method = new { name = "web-download", uri = source.UrlOf(name) } }));
            started.EnsureSuccessStatusCode();
            while (await StatusAsync(id) is "importing")
            {
                await Task.Delay(Poll);
            }

            var seconds = watch.Elapsed.TotalSeconds;
            return await StatusAsync(id) == "active"
                ? (id, seconds)
                : throw new InvalidOperationException($"The import failed:\n{registry.Log}");
        }

        public async Task<(string Id, double Seconds)> ByHandAsync()
        {
            File.Delete(_copy);
            File.Delete(_result);
            var watch = Stopwatch.StartNew();
            var copy = Child.Run("curl", ["--silent", "--fail", "--output", _copy, source.UrlOf(name).ToString()]);
            var convert = Child.Run("qemu-img", ["convert", "-f", "vmdk", "-O", "qcow2", _copy, _result]);
            var id = await CreateAsync("qcow2");
            var upload = Child.Run(
                "curl",
                [
                    "--silent", "--fail", "--header", "Content-Type: application/octet-stream", "--upload-file", _result,
                    $"{registry.Url}v2/images/{id}/file",
                ]);
            var seconds = watch.Elapsed.TotalSeconds;
            Steps = string.Create(
                CultureInfo.InvariantCulture, $"curl {copy.Wall:F2}, convert {convert.Wall:F2}, upload {upload.Wall:F2}");
            return (id, seconds);
        }

        public async Task EndAsync(string id, bool isCompared)
        {
            if (isCompared)
            {
                Child.Run("curl", ["--silent", "--fail", "--output", _result, $"{registry.Url}v2/images/{id}/file"]);
                Child.Output(
                    "qemu-img", ["compare", "-f", "vmdk", "-F", "qcow2", Path.Combine(directory, name), _result]);
                Child.Output("qemu-img", ["check", "-f", "qcow2", _result]);
            }

            using var deleted = await registry.Client.DeleteAsync($"/v2/images/{id}");
            deleted.EnsureSuccessStatusCode();
        }

        private async Task<string> CreateAsync(string format)
        {
            using var created = await registry.Client.PostAsync(
                "/v2/images", JsonContent.Create(new { disk_format = format, container_format = "bare" }));
            return (await created.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!;
        }

        private async Task<string?> StatusAsync(string id) =>
            (await registry.Client.GetFromJsonAsync<JsonElement>($"/v2/images/{id}")).GetProperty("status").GetString();
    }
}
