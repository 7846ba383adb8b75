using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Replicas that are stopped longer than their leases and continue where they were.</summary>
internal sealed class PausedWorkers : FaultCheck
{
    private static readonly string[] Kinds =
        ["copy", "upload", "clone", "glance-direct", "reap", "web-download", "stage", "copy-image", "provision", "scrub"];

    /// <inheritdoc/>
    public override string Name => "paused-workers";

    /// <inheritdoc/>
    public override string Description => """
          Of two replicas the one that works is stopped (SIGSTOP) for 5 s, longer than the leases of 3 s, and continues (SIGCONT)
          beside its successor: amid an upload, a staging, an import of each method, a copy, a clone, a provisioning, a reaping and a
          scrub, in turn. Nothing acknowledged is lost, also when the source of a copy is removed afterwards; every byte is
          right; every job ends, once, and none has failed whose image is active.
        """;

    /// <inheritdoc/>
    public override int Rounds => 60;

    /// <inheritdoc/>
    public override int SmokeRounds => 1;

    /// <inheritdoc/>
    public override bool OnEmbedded => false;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        Configure(site);
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        await using var web = new FileServer(Directory.CreateDirectory(Path.Combine(site.Scratch, "web")).FullName);
        var run = new PausedRounds(trial, site, ledger, web, [await site.StartAsync(), await site.StartAsync()]);
        for (var round = 0; round < trial.Rounds; round++)
        {
            var kind = Kinds[round % Kinds.Length];
            trial.Say($"round {round + 1}: {kind}");
            await run.RoundAsync(kind);
        }

        await run.RequireEndedAsync();
        await run.RequireCleanAsync();
        await new Invariants(site, ledger).RequireAsync(run.Replicas[0]);
        return $"{trial.Rounds} rounds, {run.Caught} stopped amid their work, {run.TakenOver} taken over, {ledger.Acknowledged} " +
            "acknowledgements hold";
    }

    private static void Configure(Site site)
    {
        foreach (var (name, value) in site.Settings.Where(s => s.Key.Contains("__Stores__0__", StringComparison.Ordinal))
            .ToList())
        {
            site.Settings[name.Replace("__0__", "__1__", StringComparison.Ordinal)] = value;
        }

        site.Settings["Registry__Stores__0__Default"] = "true";
        site.Settings["Registry__Stores__1__Id"] = PausedRounds.SecondStore;
        site.Settings["Registry__Stores__1__Prefix"] = "copies";
        site.Settings["Registry__Uploads__Lease"] = "00:00:03";
        site.Settings["Registry__Jobs__Workers"] = "4"; // of which one project has half
        site.Settings["Registry__Outbound__AllowedNetworks"] = "127.0.0.0/8";
        site.Settings["Registry__Outbound__AllowedPorts"] = "";
        site.Settings["Registry__Provisioning__Targets__0__Id"] = PausedRounds.Target;
        site.Settings["Registry__Provisioning__Targets__0__Path"] =
            Directory.CreateDirectory(Path.Combine(site.Scratch, PausedRounds.Target)).FullName;
    }
}
