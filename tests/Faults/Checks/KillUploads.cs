using System.Diagnostics;

namespace Registry.Faults.Checks;

/// <summary>Check 5 of the bar.</summary>
internal sealed class KillUploads : FaultCheck
{
    private const int Clients = 8;
    private const int RoundsPerCleaning = 10;
    private static readonly TimeSpan ReadyLimit = TimeSpan.FromSeconds(10);

    /// <inheritdoc/>
    public override string Name => "kill-uploads";

    /// <inheritdoc/>
    public override string Description => """
          Eight mixed clients; at a random moment between 0.2 and 3 s the server is ended with kill -9 and started again.
          It is ready within 10 s, has lost nothing that it acknowledged, and what fell back to queued takes its upload now.
        """;

    /// <inheritdoc/>
    public override int Rounds => 100;

    /// <inheritdoc/>
    public override int SmokeRounds => 2;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var invariants = new Invariants(site, ledger) { Uploads = Clients };
        var registry = await site.StartAsync();
        var (requests, again, slowest) = (0, 0, TimeSpan.Zero);
        for (var round = 1; round <= trial.Rounds; round++)
        {
            using var load = new Load(ledger, [registry.Url], Clients, trial.Random.Next());
            await Task.Delay(trial.Random.Next(200, 3000));
            await registry.KillAsync();
            await load.StopAsync();
            load.RequireNoLies();
            requests += load.Requests;

            var started = Stopwatch.StartNew();
            registry = await site.StartAsync();
            slowest = slowest > started.Elapsed ? slowest : started.Elapsed;
            if (started.Elapsed > trial.Within(ReadyLimit))
            {
                throw new FaultException($"round {round}: ready after {started.Elapsed.TotalSeconds:F1} s");
            }

            await invariants.RequireAsync(registry);
            again += await UploadAgainAsync(trial, site, registry.Client, ledger);
            if (round % RoundsPerCleaning == 0)
            {
                await ledger.DeleteAllAsync(registry.Client);
                trial.Say($"round {round}: {ledger.Acknowledged} acknowledged");
            }
        }

        return $"{trial.Rounds} kills, {requests} requests, {ledger.Kept.Count} uploads and {ledger.Gone.Count} deletions " +
            $"acknowledged, 0 lost, {again} uploaded again, ready within {slowest.TotalSeconds:F1} s";
    }

    private static async Task<int> UploadAgainAsync(Trial trial, Site site, HttpClient http, Ledger ledger)
    {
        var queued = await site.QueryAsync("select id from images where status = 'queued' and name like 'load-%'");
        foreach (var row in queued)
        {
            var content = trial.Bytes(100_000);
            var promise = Promise.Of(content);
            ledger.Send(row[0], promise);
            if (await http.UploadAsync(row[0], content) is var status and not 204)
            {
                throw new FaultException($"{row[0]} is queued and answers an upload with {status}");
            }

            ledger.Keep(row[0], promise);
        }

        return queued.Count;
    }
}
