using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Registry.Support;

namespace Registry.Bench;

/// <summary>Images in a real S3 server, made into disks of this machine: by registry provision, by a download that is
/// converted then, and by qemu-img that reads the registry's own view by ranges (it needs Debian's qemu-block-extra).
/// What passes between the registry and the S3 server is counted on the wire.</summary>
internal static class ProvisionBench
{
    private const int TogetherCount = 4;
    private static readonly string[] Images =
        ["tree.qcow2", "tree-zlib.qcow2", "tree-zstd.qcow2", "scattered.qcow2", "scattered.raw"];

    /// <summary>Runs and prints.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(string[] arguments)
    {
        var directory = ConvertBench.Directory(arguments);
        var program = ConvertBench.Option(arguments, "--registry") ?? RegistryProcess.Executable;
        var rounds = int.Parse(ConvertBench.Option(arguments, "--rounds") ?? "3", CultureInfo.InvariantCulture);
        BenchImages.Make(directory, ConvertBench.Option(arguments, "--tree"));
        BenchImages.MakeScattered(directory);
        await using var s3 = await CephS3.StartAsync(16L << 30);
        await using var gate = new TcpGate(s3.Endpoint);
        using var data = new TempDirectory();
        var nbd = Ports.Free();
        await using var registry = await RegistryProcess.StartAsync(data.Path, default, new Dictionary<string, string>
        {
            ["Registry__Stores__0__Id"] = "s3",
            ["Registry__Stores__0__Kind"] = "s3",
            ["Registry__Stores__0__Endpoint"] = gate.Address.ToString(),
            ["Registry__Stores__0__Bucket"] = s3.NewBucket(),
            ["Registry__Stores__0__AccessKey"] = CephS3.AccessKey,
            ["Registry__Stores__0__SecretKey"] = CephS3.SecretKey,
            ["Registry__Stores__0__CreateBucket"] = "true",
            ["Registry__Provisioning__DirectReads"] = "true",
            ["Registry__Endpoints__Nbd"] = $"nbd://127.0.0.1:{nbd}",
        });
        var wanted = Images.Where(arguments.Contains).ToArray();
        foreach (var name in wanted.Length == 0 ? Images : wanted)
        {
            var path = Path.Combine(directory, name);
            var id = await UploadAsync(registry.Client, path);
            Console.WriteLine($"{name}: first 4 KiB over NBD {NbdFirstBlock.Read(nbd, id) * 1000:F0} ms from cold, then "
                + $"{NbdFirstBlock.Read(nbd, id) * 1000:F0} ms");
            var hosts = new Hosts(registry, program, id, path, directory);
            await MeasureAsync(hosts, gate, name, rounds);
        }

        return 0;
    }

    private static async Task MeasureAsync(Hosts hosts, TcpGate gate, string name, int rounds)
    {
        var (requests, bytes) = (gate.Requests, gate.BytesReceived);
        var report = hosts.Provision(0);
        hosts.Compare(0);
        var (allocated, stored) = (report.GetProperty("allocated").GetInt64(), report.GetProperty("stored").GetInt64());
        (requests, bytes) = (gate.Requests - requests, gate.BytesReceived - bytes);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{name}: {allocated} allocated, {stored} stored; from the store {bytes} bytes, {(double)bytes / allocated:F3} of " +
            $"allocated, {(double)bytes / stored:F3} of stored, in {requests} requests (allocated/4 MiB + 20 is {(allocated >> 22) + 20})"));
        (requests, bytes) = (gate.Requests, gate.BytesReceived);
        hosts.Provision(0, "--direct");
        hosts.Compare(0);
        Console.WriteLine($"  --direct {gate.BytesReceived - bytes} bytes in {gate.Requests - requests} requests");
        var ours = new List<Spent>();
        var direct = new List<Spent>();
        var whole = new List<Spent>();
        var ranges = new List<Spent>();
        var (four, fourDirect) = (new List<double>(), new List<double>());
        var fourBytes = 0L;
        for (var round = 0; round < rounds; round++)
        {
            ours.Add(hosts.Time(() => hosts.Provision(0)));
            whole.Add(hosts.Time(hosts.DownloadAndConvert));
            ranges.Add(hosts.Time(hosts.ConvertByRanges));
            direct.Add(hosts.Time(() => hosts.Provision(0, "--direct")));
            bytes = gate.BytesReceived;
            four.Add(await TogetherAsync(n => hosts.Provision(n)));
            fourBytes = gate.BytesReceived - bytes;
            fourDirect.Add(await TogetherAsync(n => hosts.Provision(n, "--direct")));
        }

        Print("registry provision", ours, ours);
        Print("download + qemu-img convert", whole, ours);
        Print("qemu-img convert from http", ranges, ours);
        Print("registry provision --direct", direct, direct);
        Print("download + qemu-img convert", whole, direct);
        Print("qemu-img convert from http", ranges, direct);
        foreach (var (how, together, one) in new[] { ("", four, ours), (" --direct", fourDirect, direct) })
        {
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"  {TogetherCount}{how} at once {Median(together):F2} s, {Median(together) / Median(one.Select(s => s.Wall)):F2} x one"));
        }

        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"  {TogetherCount} at once read {(double)fourBytes / stored:F2} of stored from the store"));
        hosts.Thin(0);
        (requests, bytes) = (gate.Requests, gate.BytesReceived);
        var thin = Enumerable.Range(1, 5).Select(n => hosts.Time(() => hosts.Thin(n)).Wall).ToList();
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"  a further --thin disk {Median(thin) * 1000:F0} ms, {gate.BytesReceived - bytes} bytes from the store"));
    }

    private static async Task<double> TogetherAsync(Action<int> work)
    {
        var watch = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, TogetherCount).Select(n => Task.Run(() => work(n))));
        return watch.Elapsed.TotalSeconds;
    }

    private static void Print(string what, List<Spent> spent, List<Spent> ours) => Console.WriteLine(string.Create(
        CultureInfo.InvariantCulture,
        $"  {what,-28} {Median(spent.Select(s => s.Wall)),6:F2} s, cpu of client and server {Median(spent.Select(s => s.Cpu)),6:F2} s" +
        $"   ours is {Median(ours.Zip(spent, (a, b) => a.Wall / b.Wall)):F2} of wall, {Median(ours.Zip(spent, (a, b) => a.Cpu / b.Cpu)):F2} of cpu"));

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToList();
        return sorted[sorted.Count / 2];
    }

    private static async Task<string> UploadAsync(HttpClient http, string path)
    {
        var format = Path.GetExtension(path).TrimStart('.');
        using var created = await http.PostAsync(
            "/v2/images", JsonContent.Create(new { disk_format = format, container_format = "bare" }));
        var id = (await created.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!;
        await using var file = File.OpenRead(path);
        using var body = new StreamContent(file);
        body.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        using var uploaded = await http.PutAsync($"/v2/images/{id}/file", body);
        uploaded.EnsureSuccessStatusCode();
        return id;
    }

    /// <summary>The ways to make an image a disk.</summary>
    private sealed class Hosts(RegistryProcess registry, string program, string id, string image, string directory)
    {
        private readonly Process server = Process.GetProcessById(registry.Id);
        private readonly string format = Path.GetExtension(image).TrimStart('.');
        private readonly string url = $"{registry.Url}v2/images/{id}/file";

        /// <summary>Seconds, and processor time of the programs and of the registry.</summary>
        public Spent Time(Action work)
        {
            server.Refresh();
            var (cpu, children) = (server.TotalProcessorTime, Child.CpuSeconds());
            var watch = Stopwatch.StartNew();
            work();
            var wall = watch.Elapsed.TotalSeconds;
            server.Refresh();
            return new Spent(wall, (server.TotalProcessorTime - cpu).TotalSeconds + Child.CpuSeconds() - children);
        }

        public JsonElement Provision(int number, params string[] options)
        {
            File.Delete(Target(number));
            string[] arguments = ["provision", id, "--to", Target(number), "--url", $"{registry.Url}", "--output", "json"];
            return JsonDocument.Parse(Child.Output(program, [.. arguments, .. options])).RootElement;
        }

        public void Thin(int number)
        {
            File.Delete(Target(number) + ".thin");
            Child.Output(
                program,
                [
                    "provision", id, "--to", Target(number) + ".thin", "--format", "qcow2", "--thin",
                    "--cache", Path.Combine(directory, "cache"), "--url", $"{registry.Url}",
                ]);
        }

        public void DownloadAndConvert()
        {
            var copy = Path.Combine(directory, "copy");
            File.Delete(Target(0));
            Child.Output("curl", ["--silent", "--fail", "--output", copy, url]);
            Child.Output("qemu-img", ["convert", "-f", format, "-O", "raw", copy, Target(0)]);
            File.Delete(copy);
        }

        // QEMU asks by HEAD first, which Glance's download has not: it is given the view as qcow2.
        public void ConvertByRanges()
        {
            File.Delete(Target(0));
            Child.Output(
                "qemu-img",
                [
                    "convert", "-m", "16", "-W", "-f", "qcow2", "-O", "raw",
                    $"{registry.Url}registry/v1/images/{id}/disk?format=qcow2", Target(0),
                ]);
        }

        public void Compare(int number) =>
            Child.Output("qemu-img", ["compare", "-f", format, "-F", "raw", image, Target(number)]);

        private string Target(int number) =>
            Path.Combine(directory, string.Create(CultureInfo.InvariantCulture, $"disk{number}"));
    }
}
