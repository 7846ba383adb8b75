using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>A registry in a small container, and more work than fits into its memory.</summary>
internal sealed class MemorySqueeze : FaultCheck
{
    private const long MemoryBytes = 256L << 20;
    private const double Processors = 0.5;
    private const int Readers = 500;
    private const int Streams = 64;
    private const int ImageBytes = 8 << 20;
    private const int Small = 8; // a short run has an eighth of the clients
    private static readonly TimeSpan SlowestList = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan FaultEvery = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan StoreFaultLasts = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan DatabaseFaultLasts = TimeSpan.FromSeconds(1); // no list can be answered meanwhile

    /// <inheritdoc/>
    public override string Name => "memory-squeeze";

    /// <inheritdoc/>
    public override string Description => """
          A registry with 256 MiB and half a processor serves, for so many seconds, 64 clients that upload (some of them images
          with the largest tables that a format allows, and some of them a few bytes a second), 64 that download, 500 that read a few
          bytes a second and 8 that do a bit of everything (a short run: an eighth of each); on PostgreSQL and S3 the
          store fails for 3 s or the database for 1 s every 20 s. It stays alive, everything that it acknowledged is there, and in a
          full run 99 of 100 lists are answered within 2 s.
        """;

    /// <inheritdoc/>
    public override int Rounds => 600;

    /// <inheritdoc/>
    public override int SmokeRounds => 10;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        using var machine = SmallMachine.TryCreate(MemoryBytes, Processors)
            ?? throw new CannotRunException("this process may not make a control group");
        await using var site = await trial.NewSiteAsync();
        site.Wrapper = machine.Wrapper;
        site.Settings["Registry__Uploads__Lease"] = "00:00:30"; // half a processor, and no worker dies here
        site.Settings["Registry__Jobs__Lease"] = "00:00:30";
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var registry = await site.StartAsync();
        var shares = trial.Rounds >= Rounds ? 1 : Small;
        var content = trial.Bytes(ImageBytes);
        var id = await registry.Client.AddAsync(content);
        ledger.Keep(id, Promise.Of(content));

        var answers = new ConcurrentDictionary<string, int>();
        var times = new List<TimeSpan>();
        using (var over = new CancellationTokenSource(TimeSpan.FromSeconds(trial.Rounds)))
        using (var load = new Load(ledger, [registry.Url], 8, trial.Seed, longest: 1 << 20))
        {
            var work = new Work(registry, ledger, answers, over.Token);
            var all = Task.WhenAll(
                work.UploadAsync(Streams / shares, trial), work.DownloadAsync(Streams / shares, id),
                SlowSockets.ReadAsync(registry, Readers / shares, id, over.Token), FailAsync(site as ProductionSite, over.Token));
            await ListAsync(registry, times, answers, trial, over.Token);
            await all;
            await load.StopAsync();
            load.RequireNoLies();
        }

        times.Sort();
        var worst = times[(int)(times.Count * 0.99)];
        var seen = string.Join(", ", answers.OrderBy(a => a.Key).Select(a => $"{a.Key}: {a.Value}"));
        if (!registry.IsRunning || machine.Kills > 0)
        {
            throw new FaultException($"it died ({machine.Kills} killed for want of memory); {seen}");
        }

        if (trial.Rounds >= Rounds && worst > SlowestList)
        {
            throw new FaultException($"99 of 100 lists took up to {worst.TotalSeconds:F2} s; {seen}");
        }

        await new Invariants(site, ledger) { Uploads = Streams, Readers = Readers }.RequireAsync(registry);
        return $"{trial.Rounds} s: {times.Count} lists, the 99th of 100 after {worst.TotalMilliseconds:F0} ms, " +
            $"{registry.Status("VmHWM") / 1024} MiB at most, {ledger.Acknowledged} acknowledged and there; {seen}";
    }

    private static async Task ListAsync(
        RegistryProcess registry, List<TimeSpan> times, ConcurrentDictionary<string, int> answers, Trial trial,
        CancellationToken over)
    {
        var said = Stopwatch.StartNew();
        while (!over.IsCancellationRequested && registry.IsRunning)
        {
            var started = Stopwatch.GetTimestamp();
            try
            {
                using var response = await registry.Client.GetAsync("/v2/images", CancellationToken.None);
                Count(answers, "list", (int)response.StatusCode);
                if (response.StatusCode == HttpStatusCode.OK)
                {
                    times.Add(Stopwatch.GetElapsedTime(started));
                }
            }
            catch (HttpRequestException)
            {
                Count(answers, "list", 0);
            }

            if (said.Elapsed > FaultEvery && registry.IsRunning)
            {
                trial.Say($"{registry.Status("RssAnon") / 1024} MiB, {string.Join(", ", answers)}");
                said.Restart();
            }

            await Task.Delay(100, CancellationToken.None);
        }
    }

    private static async Task FailAsync(ProductionSite? site, CancellationToken over)
    {
        for (var number = 0; site is not null && !over.IsCancellationRequested; number++)
        {
            await Task.Delay(FaultEvery, over).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            var isOfStore = number % 2 == 0;
            var gate = isOfStore ? site.StoreGate : site.DatabaseGate;
            if (number % 4 < 2)
            {
                gate.Harm(isOfStore ? new GateFault { Status = 503 } : new GateFault { Holds = true });
            }
            else
            {
                gate.Down();
            }

            await Task.Delay(isOfStore ? StoreFaultLasts : DatabaseFaultLasts, CancellationToken.None);
            gate.Up();
        }
    }

    private static void Count(ConcurrentDictionary<string, int> answers, string what, int status) =>
        answers.AddOrUpdate($"{what} {(status == 0 ? "cut" : status)}", 1, (_, count) => count + 1);

    /// <summary>The clients that carry image data.</summary>
    private sealed class Work(
        RegistryProcess registry, Ledger ledger, ConcurrentDictionary<string, int> answers, CancellationToken over)
    {
        public async Task UploadAsync(int count, Trial trial)
        {
            var content = trial.Bytes(ImageBytes);
            var promise = Promise.Of(content);
            await Task.WhenAll(Enumerable.Range(0, count).Select(number => RepeatAsync("upload", async () =>
            {
                var isHostile = number % 8 == 1;
                var id = await registry.Client.CreateAsync("squeeze", isHostile ? "qcow2" : "raw");
                if (isHostile)
                {
                    using var tables = new LargeTables();
                    return await registry.Client.UploadAsync(id, tables);
                }

                ledger.Send(id, promise);
                using var body = new TrickledContent(content, number % 8 == 2 ? 1000 : 10);
                var status = await registry.Client.UploadAsync(id, body);
                if (status == 204)
                {
                    ledger.Keep(id, promise);
                    ledger.Doom(id);
                    using var deleted = await registry.Client.DeleteAsync($"/v2/images/{id}", CancellationToken.None);
                }

                return status;
            })));
        }

        public Task DownloadAsync(int count, string id) => Task.WhenAll(Enumerable.Range(0, count).Select(_ => RepeatAsync(
            "download", async () =>
            {
                var digest = await registry.Client.DigestAsync(id);
                return digest.Sha512 == ledger.Kept[id].Sha512
                    ? 200
                    : throw new FaultException($"{id} was served with other bytes than were sent");
            })));

        private async Task RepeatAsync(string what, Func<Task<int>> request)
        {
            while (!over.IsCancellationRequested && registry.IsRunning)
            {
                var status = 0;
                try
                {
                    status = await request();
                }
                catch (HttpRequestException e)
                {
                    status = (int?)e.StatusCode ?? 0;
                }

                Count(answers, what, status);
                if (status is 0 or 503)
                {
                    await Task.Delay(500, CancellationToken.None);
                }
            }
        }
    }

    /// <summary>A qcow2 image whose table of 32 MiB leads nowhere: as much as the format's readers ever hold.</summary>
    private sealed class LargeTables : HttpContent
    {
        private const int TableBytes = 32 << 20;
        private const int ClusterBytes = 16 << 10; // larger ones would make a disk beyond the limit of 1 PiB

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.WriteAsync(LargeTablesHeader.Bytes(ClusterBytes, TableBytes));
            var zeroes = new byte[1 << 20];
            for (var sent = 0; sent < TableBytes; sent += zeroes.Length)
            {
                await stream.WriteAsync(zeroes);
            }
        }

        protected override bool TryComputeLength(out long length)
        {
            length = (4L * ClusterBytes) + TableBytes;
            return true;
        }
    }

    /// <summary>A body in sixteen parts, with a pause after each.</summary>
    private sealed class TrickledContent(ReadOnlyMemory<byte> content, int milliseconds) : HttpContent
    {
        private const int Parts = 16;

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            for (var part = 0; part < Parts; part++)
            {
                await stream.WriteAsync(content[(content.Length * part / Parts)..(content.Length * (part + 1) / Parts)]);
                await stream.FlushAsync();
                await Task.Delay(milliseconds);
            }
        }

        protected override bool TryComputeLength(out long length)
        {
            length = content.Length;
            return true;
        }
    }
}
