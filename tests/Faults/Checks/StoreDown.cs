using System.Diagnostics;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Check 10 of the bar.</summary>
internal sealed class StoreDown : FaultCheck
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(10);

    /// <inheritdoc/>
    public override string Name => "store-down";

    /// <inheritdoc/>
    public override string Description => """
          Two answers of 503 from the store: the upload succeeds. Only 503: it is refused within 60 s. Silence: within the
          configured deadline (10 s) and 5 s. After each the image is queued, nothing is left behind, and the next upload succeeds.
        """;

    /// <inheritdoc/>
    public override bool OnEmbedded => false;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await ProductionSite.CreateAsync(trial.Servers);
        site.Settings["Registry__Stores__0__Silence"] = "00:00:04";
        site.Settings["Registry__Stores__0__Deadline"] = $"{Deadline}";
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var invariants = new Invariants(site, ledger);
        var registry = await site.StartAsync();
        var told = new List<string>();
        foreach (var (what, fault, mustWork, limit) in new[]
        {
            ("503 twice", new GateFault { Status = 503, Times = 2 }, true, TimeSpan.FromSeconds(60)),
            ("503 for good", new GateFault { Status = 503 }, false, TimeSpan.FromSeconds(60)),
            ("silence", new GateFault { Holds = true }, false, Deadline + TimeSpan.FromSeconds(5)),
        })
        {
            var content = trial.Bytes(5_000_000);
            var id = await registry.Client.CreateAsync(what);
            site.StoreGate.Harm(fault);
            var elapsed = Stopwatch.StartNew();
            var status = await registry.Client.UploadAsync(id, content);
            elapsed.Stop();
            site.StoreGate.Up();
            if (mustWork ? status != 204 : status < 500 || elapsed.Elapsed > trial.Within(limit))
            {
                throw new FaultException($"{what}: answered with {status} after {elapsed.Elapsed.TotalSeconds:F1} s");
            }

            told.Add($"{what}: {status} after {elapsed.Elapsed.TotalSeconds:F1} s");
            if (status != 204 && await registry.Client.UploadAsync(id, content) is var again and not 204)
            {
                throw new FaultException($"after {what}: answered with {again}");
            }

            ledger.Keep(id, Promise.Of(content));
            await invariants.RequireAsync(registry);
        }

        return string.Join(", ", told);
    }
}
