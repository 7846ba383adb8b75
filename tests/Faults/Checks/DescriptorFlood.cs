using System.Diagnostics;
using System.Net;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>More connections than the process may have open files, from clients that never say who they are.</summary>
internal sealed class DescriptorFlood : FaultCheck
{
    private const int FilesMax = 512;
    private const int Flood = 2000;
    private static readonly TimeSpan ServesWithin = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan SlowestAnswer = TimeSpan.FromSeconds(2);

    /// <inheritdoc/>
    public override string Name => "descriptor-flood";

    /// <inheritdoc/>
    public override string Description => """
          Two thousand connections that say nothing or half a request, to a registry that may have 512 files open, for so many
          seconds. Meanwhile images are uploaded, and lists answered; afterwards it is alive, serves within 5 s, and
          everything that it acknowledged is there.
        """;

    /// <inheritdoc/>
    public override int Rounds => 60;

    /// <inheritdoc/>
    public override int SmokeRounds => 4;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => !isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        site.Wrapper = ["/bin/sh", "-c", $"ulimit -n {FilesMax} && exec \"$@\"", "sh"];
        site.Settings["Registry__Uploads__Lease"] = "00:00:30";
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var registry = await site.StartAsync();
        var (answered, refused, most) = (0, 0, 0);
        using (var over = new CancellationTokenSource(TimeSpan.FromSeconds(trial.Rounds)))
        {
            var flood = Task.WhenAll(
                SlowSockets.StayIdleAsync(registry, Flood / 2, over.Token),
                SlowSockets.SendHeadsAsync(registry, Flood / 2, over.Token));
            while (!over.IsCancellationRequested && registry.IsRunning)
            {
                most = Math.Max(most, Directory.GetFiles($"/proc/{registry.Id}/fd").Length);
                _ = await WorksAsync(site, registry, ledger, trial) ? answered++ : refused++;
            }

            await flood;
        }

        if (!registry.IsRunning)
        {
            throw new FaultException("it ended");
        }

        var waited = Stopwatch.StartNew();
        while (!await WorksAsync(site, registry, ledger, trial))
        {
            if (waited.Elapsed > trial.Within(ServesWithin))
            {
                throw new FaultException($"it did not serve within {ServesWithin.TotalSeconds} s of the flood's end");
            }
        }

        if (answered == 0)
        {
            throw new FaultException("no client was served during the flood");
        }

        // A connection between two requests may still have to make room, as during the flood; by then it need not.
        if (trial.Within(ServesWithin) - waited.Elapsed is var left && left > TimeSpan.Zero)
        {
            await Task.Delay(left);
        }

        await new Invariants(site, ledger).RequireAsync(registry);
        return $"{Flood} connections for {trial.Rounds} s, {most} files open at most of {FilesMax}; " +
            $"{answered} clients served meanwhile, {refused} not";
    }

    // A client of its own each time: one that has a connection is never harmed.
    private static async Task<bool> WorksAsync(Site site, RegistryProcess registry, Ledger ledger, Trial trial)
    {
        using var client = Site.ClientOf(registry, Site.Operator);
        client.Timeout = trial.Within(SlowestAnswer);
        try
        {
            using var listed = await client.GetAsync("/v2/images?limit=5");
            if (listed.StatusCode != HttpStatusCode.OK)
            {
                return false;
            }

            var content = trial.Bytes(100_000);
            var id = await client.CreateAsync("flood");
            ledger.Send(id, Promise.Of(content));
            return await client.UploadAsync(id, content) == 204 && ledger.Keep(id, Promise.Of(content));
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            return false;
        }
    }
}
