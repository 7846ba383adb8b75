using System.Diagnostics;

namespace Registry.Faults.Checks;

/// <summary>Check 19 of the bar.</summary>
internal sealed class GracefulStop : FaultCheck
{
    private const int Clients = 8;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    /// <inheritdoc/>
    public override string Name => "graceful-stop";

    /// <inheritdoc/>
    public override string Description => """
          SIGTERM amid eight uploads: exit code 0 within 30 s. The uploads that were acknowledged are there after the next start, and
          no other is half there.
        """;

    /// <inheritdoc/>
    public override int Rounds => 5;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var invariants = new Invariants(site, ledger) { Uploads = Clients };
        var registry = await site.StartAsync();
        var slowest = TimeSpan.Zero;
        for (var round = 0; round < trial.Rounds; round++)
        {
            var before = ledger.Acknowledged;
            using var load = new Load(ledger, [registry.Url], Clients, trial.Random.Next());
            await ledger.UntilMoreAsync(before);
            await Task.Delay(trial.Random.Next(500, 2000));
            var elapsed = Stopwatch.StartNew();
            await registry.StopAsync(); // requires exit code 0
            elapsed.Stop();
            await load.StopAsync();
            load.RequireNoLies();
            if (elapsed.Elapsed > Limit)
            {
                throw new FaultException($"it took {elapsed.Elapsed.TotalSeconds:F0} s to end");
            }

            slowest = elapsed.Elapsed > slowest ? elapsed.Elapsed : slowest;
            registry = await site.StartAsync();
            await invariants.RequireAsync(registry);
            await ledger.DeleteAllAsync(registry.Client);
        }

        return $"{trial.Rounds} stops, exit code 0 within {slowest.TotalSeconds:F1} s; {ledger.Acknowledged} acknowledged, 0 lost";
    }
}
