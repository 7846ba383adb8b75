using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>One project takes all it can get, and another one works.</summary>
internal sealed class Fairness : FaultCheck
{
    private const int Downloads = 32;
    private const int SilentUploads = 64;
    private const int NbdConnections = 1000;
    private const int SlowReaders = 3000;
    private const int Small = 20; // a short run has a twentieth of the clients
    private const int ImageBytes = 8 << 20;
    private const double SlowerBy = 2;
    private const int NbdGreeting = 18;

    // Answers that take less than this are not compared: the clocks of a process and a scheduler are in it.
    private static readonly TimeSpan Noise = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Back = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(30);

    /// <inheritdoc/>
    public override string Name => "fairness";

    /// <inheritdoc/>
    public override string Description => """
          A project with 32 downloads that crawl, 64 uploads that send nothing, 1,000 NBD connections that choose no export and 3,000
          readers of a few bytes a second (a short run: a twentieth). Another project's uploads, imports, lists, provisions and NBD
          greetings all succeed meanwhile; in a full run the median of each takes at most twice as long as in quiet.
        """;

    /// <inheritdoc/>
    public override int Rounds => 20;

    /// <inheritdoc/>
    public override int SmokeRounds => 3;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => !isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        var nbd = Ports.Free();
        site.Settings["Registry__Endpoints__Nbd"] = $"nbd://127.0.0.1:{nbd}";
        site.Settings["Registry__Outbound__AllowedNetworks"] = "127.0.0.1/32";
        site.Settings["Registry__Outbound__AllowedPorts"] = "";
        site.Settings["Registry__Uploads__Lease"] = "00:00:30"; // nobody dies here, and some machines are slow
        site.Settings["Registry__Jobs__Lease"] = "00:00:30";
        var registry = await site.StartAsync();
        using var other = Site.ClientOf(registry, Site.Stranger);
        other.Timeout = trial.Within(Longest);
        var work = new Work(other, nbd, trial.Bytes(ImageBytes));
        await work.RunAsync(1); // what is compiled and opened once
        var quiet = await work.RunAsync(trial.Rounds);
        using var over = new CancellationTokenSource();
        await using var source = new StalledSource();
        var greed = GreedAsync(registry, nbd, source.Url, trial, over.Token);
        await Task.Delay(trial.IsSmoke ? TimeSpan.FromSeconds(2) : Settle);
        var busy = await work.RunAsync(trial.Rounds);
        await over.CancelAsync();
        await greed;
        var seen = quiet.Select(kind => Compare(trial, kind.Key, kind.Value, busy[kind.Key])).ToList();
        var text = $"{source.Connections} crawling downloads had a worker; median quiet and busy: " +
            string.Join(", ", seen.Select(kind => kind.Text));
        return trial.IsSmoke || seen.TrueForAll(kind => kind.IsFair) ? text : throw new FaultException(text);
    }

    private static (string Text, bool IsFair) Compare(
        Trial trial, string kind, List<TimeSpan> quiet, List<TimeSpan> busy)
    {
        var (before, after) = (Median(quiet), Median(busy));
        var text = $"{kind} {before.TotalMilliseconds:F0} -> {after.TotalMilliseconds:F0} ms";
        trial.Say($"{text} (the worst {busy.Max().TotalMilliseconds:F0} ms)");
        return (text, after <= (before * SlowerBy) + Noise);
    }

    private static TimeSpan Median(List<TimeSpan> times) => times.Order().ElementAt(times.Count / 2);

    // All of it is the operator's project's.
    private static async Task GreedAsync(
        RegistryProcess registry, int nbd, string url, Trial trial, CancellationToken over)
    {
        var share = trial.IsSmoke ? Small : 1;
        var image = await registry.Client.AddAsync(trial.Bytes(ImageBytes));
        for (var i = 0; i < Math.Max(4, Downloads / share); i++)
        {
            var id = await registry.Client.CreateAsync("crawls");
            using var asked = await registry.Client.PostAsJsonAsync(
                $"/v2/images/{id}/import", new { method = new { name = "web-download", uri = url } }, over);
            asked.EnsureSuccessStatusCode();
        }

        var silent = new List<string>();
        for (var i = 0; i < SilentUploads / share; i++)
        {
            silent.Add(await registry.Client.CreateAsync("silent"));
        }

        await Task.WhenAll(
            [
                .. silent.Select(id => StayAsync(registry.Url.Port, SilentHead(id), over)),
                .. Enumerable.Range(0, NbdConnections / share).Select(_ => StayAsync(nbd, "", over)),
                SlowSockets.ReadAsync(registry, SlowReaders / share, image, over),
            ]);
    }

    private static string SilentHead(string id) =>
        $"PUT /v2/images/{id}/file HTTP/1.1\r\nHost: silent\r\nX-Auth-Token: {Site.Operator}\r\n" +
        $"Content-Type: application/octet-stream\r\nContent-Length: {ImageBytes}\r\n\r\n";

    // Sends a head and nothing else; comes back a while after it was thrown out.
    private static async Task StayAsync(int port, string head, CancellationToken over)
    {
        while (!over.IsCancellationRequested)
        {
            try
            {
                using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };
                await socket.ConnectAsync(IPAddress.Loopback, port, over);
                await socket.SendAsync(Encoding.ASCII.GetBytes(head), over);
                while (await socket.ReceiveAsync(new byte[64], over) > 0)
                {
                    // Greeted, or refused.
                }
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // Thrown out, or over.
            }

            await Task.Delay(Back, over).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>What the other project does, and how long each takes.</summary>
    private sealed class Work(HttpClient http, int nbd, byte[] content)
    {
        private string? _image;

        public async Task<Dictionary<string, List<TimeSpan>>> RunAsync(int rounds)
        {
            var times = new Dictionary<string, List<TimeSpan>>();
            for (var round = 0; round < rounds; round++)
            {
                await TimeAsync(times, "upload", async () => _image = await http.AddAsync(content));
                await TimeAsync(times, "list", () => http.GetStringAsync("/v2/images"));
                await TimeAsync(times, "provision", async () =>
                {
                    var disk = await http.GetByteArrayAsync($"/registry/v1/images/{_image}/disk?format=qcow2");
                    return disk.Length > content.Length ? disk : throw new FaultException("a disk is too short");
                });
                await TimeAsync(times, "import", ImportAsync);
                await TimeAsync(times, "nbd", GreetAsync);
            }

            return times;
        }

        private static async Task TimeAsync<T>(
            Dictionary<string, List<TimeSpan>> times, string kind, Func<Task<T>> work)
        {
            var started = Stopwatch.GetTimestamp();
            await work();
            if (!times.TryGetValue(kind, out var list))
            {
                times.Add(kind, list = []);
            }

            list.Add(Stopwatch.GetElapsedTime(started));
        }

        private async Task<string> ImportAsync()
        {
            var id = await http.CreateAsync("imported");
            using var body = new ByteArrayContent(content, 0, content.Length / 8);
            body.Headers.ContentType = new("application/octet-stream");
            using var staged = await http.PutAsync($"/v2/images/{id}/stage", body);
            staged.EnsureSuccessStatusCode();
            using var asked = await http.PostAsJsonAsync(
                $"/v2/images/{id}/import", new { method = new { name = "glance-direct" } });
            asked.EnsureSuccessStatusCode();
            for (var started = Stopwatch.GetTimestamp(); await http.StatusAsync(id) != "active";)
            {
                if (Stopwatch.GetElapsedTime(started) > http.Timeout)
                {
                    throw new FaultException($"an import is {await http.StatusAsync(id)} after {http.Timeout.TotalSeconds:F0} s");
                }

                await Task.Delay(10);
            }

            return id;
        }

        private async Task<int> GreetAsync()
        {
            using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(IPAddress.Loopback, nbd);
            using var late = new CancellationTokenSource(http.Timeout);
            return await socket.ReceiveAsync(new byte[NbdGreeting], late.Token) is > 0 and var greeting
                ? greeting
                : throw new FaultException("a new NBD connection was not greeted");
        }
    }
}
