using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Check 36 of the bar.</summary>
internal sealed class SlowClients : FaultCheck
{
    private const int Clients = 500;
    private const int SmokeClients = 30;
    private const int ClientsPerSecond = 250;
    private const int Slots = 32; // of one project
    private static readonly TimeSpan SlowestAnswer = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan FreeWithin = TimeSpan.FromSeconds(20);

    private enum Kind
    {
        Headers,
        Bodies,
        Readers,
    }

    /// <inheritdoc/>
    public override string Name => "slow-clients";

    /// <inheritdoc/>
    public override string Description => """
          Five hundred clients that send their headers a few bytes a second, then as many that send images so, with a token, then
          as many that read so, each for so many seconds (a short run: thirty clients). All along GET /v2/images is answered, in a
          full run 99 of 100 times within 1 s; afterwards every slot for uploads is free.
        """;

    /// <inheritdoc/>
    public override int Rounds => 60;

    /// <inheritdoc/>
    public override int SmokeRounds => 2;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => !isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        site.Settings["Registry__Uploads__Lease"] = "00:00:30"; // nobody dies here, and some machines are slow
        var registry = await site.StartAsync();
        var isTimed = trial.Rounds >= Rounds;
        var large = trial.Bytes(8 << 20);
        var id = await registry.Client.AddAsync(large);
        ledger.Keep(id, Promise.Of(large));
        var told = new List<string>();
        foreach (var kind in Enum.GetValues<Kind>())
        {
            var times = await HarassAsync(
                registry, kind, id, isTimed ? Clients : SmokeClients, TimeSpan.FromSeconds(trial.Rounds));
            times.Sort();
            var worst = times[(int)(times.Count * 0.99)];
            trial.Say(
                $"{kind}: {times.Count} lists, the 99th of 100 after {worst.TotalMilliseconds:F0} ms, " +
                $"{registry.Status("VmHWM") / 1024} MiB at most so far");
            if (isTimed && worst > SlowestAnswer)
            {
                throw new FaultException($"{kind}: 99 of 100 lists took up to {worst.TotalSeconds:F2} s");
            }

            told.Add(isTimed ? $"{kind}: {worst.TotalMilliseconds:F0} ms" : $"{kind}");
            await RequireSlotsAsync(registry.Client, trial.Bytes(1000));
        }

        await new Invariants(site, ledger) { Uploads = Slots, Readers = Clients }.RequireAsync(registry);
        return $"{(isTimed ? Clients : SmokeClients)} slow clients of each kind, all lists answered ({string.Join(", ", told)}), " +
            $"{Slots} slots free after";
    }

    // How long each list took while the slow ones were there.
    private static async Task<List<TimeSpan>> HarassAsync(
        RegistryProcess registry, Kind kind, string id, int count, TimeSpan duration)
    {
        using var over = new CancellationTokenSource(duration);
        var slow = Task.WhenAll(Enumerable.Range(0, count).Select(async number =>
        {
            await Task.Delay(TimeSpan.FromSeconds((double)number / ClientsPerSecond), CancellationToken.None);
            await CrawlAsync(registry, kind, id, over.Token);
        }));
        var times = new List<TimeSpan>();
        while (!over.IsCancellationRequested)
        {
            var started = Stopwatch.GetTimestamp();
            using var response = await registry.Client.GetAsync("/v2/images", CancellationToken.None);
            if (response.StatusCode != HttpStatusCode.OK)
            {
                throw new FaultException($"{kind}: a list was answered with {(int)response.StatusCode}");
            }

            times.Add(Stopwatch.GetElapsedTime(started));
            await Task.Delay(20, CancellationToken.None);
        }

        await slow;
        return times;
    }

    // Comes back as soon as it is thrown out.
    private static async Task CrawlAsync(RegistryProcess registry, Kind kind, string id, CancellationToken over)
    {
        // One image for all attempts: hundreds of new ones a second would be another load than slowness.
        var target = kind == Kind.Bodies ? null : id;
        while (!over.IsCancellationRequested)
        {
            try
            {
                target ??= await registry.Client.CreateAsync("slow");
                using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveBufferSize = 4096 };
                await socket.ConnectAsync(registry.Url.Host, registry.Url.Port, over);
                await CrawlAsync(socket, kind, target, over);
            }
            catch (Exception e) when (e is SocketException or HttpRequestException or OperationCanceledException)
            {
                continue; // thrown out, or told to end
            }
        }
    }

    private static async Task CrawlAsync(Socket socket, Kind kind, string id, CancellationToken over)
    {
        var head = kind switch
        {
            Kind.Headers => "GET /v2/images HTTP/1.1\r\nHost: localhost\r\n",
            Kind.Bodies => string.Create(
                CultureInfo.InvariantCulture,
                $"PUT /v2/images/{id}/file HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {Site.Operator}\r\n" +
                $"Content-Type: application/octet-stream\r\nContent-Length: {100 << 20}\r\n\r\n"),
            _ => $"GET /v2/images/{id}/file HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {Site.Operator}\r\n\r\n",
        };
        await socket.SendAsync(Encoding.ASCII.GetBytes(head), over);
        var buffer = new byte[16];
        for (var number = 0; ; number++)
        {
            await Task.Delay(Pause, over);
            if (kind == Kind.Readers)
            {
                if (await socket.ReceiveAsync(buffer, over) == 0)
                {
                    return;
                }
            }
            else
            {
                await socket.SendAsync(
                    Encoding.ASCII.GetBytes(kind == Kind.Headers ? $"X-{number}: x\r\n" : "x"), over);
                if (socket.Available > 0)
                {
                    return; // answered: it is over
                }
            }
        }
    }

    private static async Task RequireSlotsAsync(HttpClient http, byte[] content)
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            var ids = new List<string>();
            for (var i = 0; i < Slots; i++)
            {
                ids.Add(await http.CreateAsync("after"));
            }

            // All at once: half of the body is sent when the last has begun.
            using var begun = new CountdownEvent(Slots);
            var statuses = await Task.WhenAll(ids.Select(async id =>
            {
                using var body = new Halved(content, begun);
                return await http.UploadAsync(id, body);
            }));
            if (statuses.All(status => status == 204))
            {
                return;
            }

            if (waited.Elapsed > FreeWithin)
            {
                throw new FaultException(
                    $"{FreeWithin.TotalSeconds} s after the slow clients had gone: {string.Join(", ", statuses.Order())}");
            }

            await Task.Delay(500);
        }
    }

    /// <summary>A body whose second half is sent when all of its kind have sent the first.</summary>
    private sealed class Halved(byte[] content, CountdownEvent begun) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            var half = content.Length / 2;
            await stream.WriteAsync(content.AsMemory(0, half));
            await stream.FlushAsync();
            begun.Signal();
            for (var waited = Stopwatch.StartNew(); !begun.IsSet && waited.Elapsed < FreeWithin;)
            {
                await Task.Delay(20);
            }

            await stream.WriteAsync(content.AsMemory(half));
        }

        protected override bool TryComputeLength(out long length)
        {
            length = content.Length;
            return true;
        }
    }
}
