using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Check 11 of the bar.</summary>
internal sealed class CutDownload : FaultCheck
{
    /// <inheritdoc/>
    public override string Name => "cut-download";

    /// <inheritdoc/>
    public override string Description => """
          The store's answers are cut, or a bit of them turned, at different places of a download of 30 MB. It ends abnormally, or it
          is whole and right: what was missing was asked for again. It never ends well with other bytes.
        """;

    /// <inheritdoc/>
    public override bool OnEmbedded => false;

    /// <inheritdoc/>
    public override int Rounds => 20;

    /// <inheritdoc/>
    public override int SmokeRounds => 1;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await ProductionSite.CreateAsync(trial.Servers);
        site.Settings["Registry__Stores__0__Silence"] = "00:00:02";
        site.Settings["Registry__Stores__0__Deadline"] = "00:00:04";
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var registry = await site.StartAsync();
        var content = trial.Bytes(30_000_000);
        var promise = Promise.Of(content);
        var id = await registry.Client.AddAsync(content);
        ledger.Keep(id, promise);
        var (whole, ended) = (0, 0);
        for (var round = 0; round < trial.Rounds; round++)
        {
            foreach (var fault in new[]
            {
                new GateFault { CutAfter = 1_000_000 },
                new GateFault { CutAfter = 100 }, // not even a header comes through
                new GateFault { CutAfter = trial.Random.Next(30_000_000), Times = 1 + trial.Random.Next(3) },
                new GateFault { FlipAt = 700 + trial.Random.Next(500_000) },
            })
            {
                site.StoreGate.Harm(fault);
                try
                {
                    if ((await registry.Client.DigestAsync(id)).Sha512 != promise.Sha512)
                    {
                        throw new FaultException($"{fault}: a download ended well with wrong bytes");
                    }

                    whole++;
                    if (fault.CutAfter == 100)
                    {
                        throw new FaultException("a download ended well without a byte from the store");
                    }
                }
                catch (HttpRequestException)
                {
                    ended++;
                }

                site.StoreGate.Up();
            }
        }

        site.StoreGate.Harm(new GateFault { Times = 0 }); // all connections begin anew
        await new Invariants(site, ledger).RequireAsync(registry);
        return $"{whole + ended} downloads: {ended} ended abnormally, {whole} whole and right, 0 wrong";
    }
}
