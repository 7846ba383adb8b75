using System.Diagnostics;

namespace Registry.Faults.Checks;

/// <summary>Check 14 of the bar.</summary>
internal sealed class DatabaseRestart : FaultCheck
{
    private const int Clients = 16;
    private static readonly TimeSpan Recovery = TimeSpan.FromSeconds(10);

    /// <inheritdoc/>
    public override string Name => "database-restart";

    /// <inheritdoc/>
    public override string Description => """
          Sixteen mixed clients; the database server ends as in a crash and starts again. From 10 s after it is back no request
          fails, and nothing acknowledged is lost.
        """;

    /// <inheritdoc/>
    public override bool OnEmbedded => false;

    /// <inheritdoc/>
    public override int Rounds => 5;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await ProductionSite.CreateAsync(trial.Servers);
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var invariants = new Invariants(site, ledger) { Uploads = Clients };
        var registry = await site.StartAsync();
        var (failures, requests, longest) = (0, 0, TimeSpan.Zero);
        for (var round = 0; round < trial.Rounds; round++)
        {
            using var load = new Load(ledger, [registry.Url], Clients, trial.Random.Next(), 3 << 20);
            await Task.Delay(2000);
            await site.CrashDatabaseAsync();
            var back = Stopwatch.GetTimestamp();
            await Task.Delay(Recovery + TimeSpan.FromSeconds(4));
            await load.StopAsync();
            load.RequireNoLies();
            foreach (var (at, what) in load.Failures)
            {
                var after = Stopwatch.GetElapsedTime(back, at);
                longest = after > longest ? after : longest;
                if (after > Recovery)
                {
                    throw new FaultException($"{after.TotalSeconds:F1} s after the database was back: {what}");
                }
            }

            failures += load.Failures.Count();
            requests += load.Requests;
            await invariants.RequireAsync(registry);
            await ledger.DeleteAllAsync(registry.Client);
        }

        return $"{trial.Rounds} restarts, {requests} requests, {failures} failed, the last {longest.TotalSeconds:F1} s after " +
            $"the database was back; {ledger.Acknowledged} acknowledged, 0 lost";
    }
}
