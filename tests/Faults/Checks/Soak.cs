using System.Diagnostics;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Mixed work for hours: memory and descriptors settle.</summary>
internal sealed class Soak : FaultCheck
{
    private const int Clients = 8;
    private const int HandlesMax = 64; // more than the median of the first samples after warming up
    private const double SlopeMax = 1; // MiB a minute
    private const int DeleteEvery = 200; // samples
    private static readonly TimeSpan SampleEvery = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan WarmUp = TimeSpan.FromMinutes(15);

    /// <inheritdoc/>
    public override string Name => "soak";

    /// <inheritdoc/>
    public override string Description => """
          Clients that register, upload, download, list, read disks, change and delete images, for so many minutes. After the
          first 15 of them (in a shorter run, the first eighth) the resident memory grows by at most 1 MiB a minute and the
          number of open files is what it was. A run of less than half an hour says nothing of memory.
        """;

    /// <inheritdoc/>
    public override int Rounds => 120;

    /// <inheritdoc/>
    public override int SmokeRounds => 0;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => false;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        site.Settings["Registry__Uploads__Lease"] = "00:00:30"; // no worker dies here
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var registry = await site.StartAsync();
        var duration = trial.Rounds > 0 ? TimeSpan.FromMinutes(trial.Rounds) : TimeSpan.FromSeconds(12);
        var warm = duration > 2 * WarmUp ? WarmUp : duration / 8;
        var samples = new List<(double Minute, double Mebibytes, int Files)>();
        using (var over = new CancellationTokenSource(duration))
        using (var load = new Load(ledger, [registry.Url], Clients, trial.Seed, longest: 3 << 20))
        {
            var reading = ReadAsync(registry, ledger, over.Token);
            for (var clock = Stopwatch.StartNew(); !over.IsCancellationRequested;)
            {
                await Task.Delay(SampleEvery, over.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (clock.Elapsed >= warm)
                {
                    samples.Add((
                        clock.Elapsed.TotalMinutes, registry.Status("VmRSS") / 1024.0,
                        Directory.GetFiles($"/proc/{registry.Id}/fd").Length));
                }

                if (samples.Count % DeleteEvery == DeleteEvery - 1)
                {
                    trial.Say($"{clock.Elapsed.TotalMinutes:F0} min: {samples[^1].Mebibytes:F0} MiB, {samples[^1].Files} files");
                }
            }

            await reading;
            await load.StopAsync();
            load.RequireNoLies();
        }

        var (slope, grown) = (Slope(samples), samples.TakeLast(5).Min(s => s.Files) - samples.Take(5).Max(s => s.Files));
        var seen = $"{samples[0].Mebibytes:F0} MiB at first and {samples[^1].Mebibytes:F0} in the end, {slope:F2} MiB a minute; " +
            $"{samples[0].Files} files open at first and {samples[^1].Files} in the end; {ledger.Acknowledged} acknowledged";
        if (duration >= WarmUp * 2 && slope > SlopeMax)
        {
            throw new FaultException($"the memory grows: {seen}");
        }

        if (grown > HandlesMax)
        {
            throw new FaultException($"the open files grow: {seen}");
        }

        await new Invariants(site, ledger).RequireAsync(registry);
        return $"{duration.TotalMinutes:F0} min: {seen}";
    }

    private static async Task ReadAsync(RegistryProcess registry, Ledger ledger, CancellationToken over)
    {
        using var client = Site.ClientOf(registry, Site.Operator);
        for (var number = 0; !over.IsCancellationRequested; number++)
        {
            try
            {
                using var list = await client.GetAsync("/v2/images?limit=100", CancellationToken.None);
                var id = ledger.Kept.Keys.FirstOrDefault(kept => !ledger.Doomed.ContainsKey(kept));
                if (id is not null)
                {
                    var format = number % 2 == 0 ? "raw" : "qcow2";
                    using var disk = await client.GetAsync(
                        $"/registry/v1/images/{id}/disk?format={format}", CancellationToken.None);
                }
            }
            catch (HttpRequestException)
            {
                // Deleted under the reader.
            }

            await Task.Delay(100, CancellationToken.None);
        }
    }

    // Least squares.
    private static double Slope(List<(double Minute, double Mebibytes, int Files)> samples)
    {
        var (x, y) = (samples.Average(s => s.Minute), samples.Average(s => s.Mebibytes));
        var spread = samples.Sum(s => (s.Minute - x) * (s.Minute - x));
        return spread == 0 ? 0 : samples.Sum(s => (s.Minute - x) * (s.Mebibytes - y)) / spread;
    }
}
