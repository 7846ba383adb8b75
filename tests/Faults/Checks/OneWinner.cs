namespace Registry.Faults.Checks;

/// <summary>Check 16 of the bar.</summary>
internal sealed class OneWinner : FaultCheck
{
    private const int Rivals = 16;

    /// <inheritdoc/>
    public override string Name => "one-winner";

    /// <inheritdoc/>
    public override string Description => """
          Sixteen uploads of different bytes to one image at once, over two replicas (embedded: over the one server). One is answered
          with 204, fifteen with 409, and the winner's bytes are served.
        """;

    /// <inheritdoc/>
    public override int Rounds => 20;

    /// <inheritdoc/>
    public override int SmokeRounds => 2;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var first = await site.StartAsync();
        var second = trial.IsProduction ? await site.StartAsync() : first;
        for (var round = 0; round < trial.Rounds; round++)
        {
            var id = await first.Client.CreateAsync($"round {round}");
            var contents = Enumerable.Range(0, Rivals).Select(_ => trial.Bytes(400_000)).ToList();
            var statuses = await Task.WhenAll(contents.Select((content, number) =>
                (number % 2 == 0 ? first : second).Client.UploadAsync(id, content)));
            if (statuses.Count(s => s == 204) != 1 || statuses.Count(s => s == 409) != Rivals - 1)
            {
                throw new FaultException($"round {round}: answered with {string.Join(", ", statuses.Order())}");
            }

            ledger.Keep(id, Promise.Of(contents[Array.IndexOf(statuses, 204)]));
        }

        await new Invariants(site, ledger) { Uploads = Rivals }.RequireAsync(first);
        return $"{trial.Rounds} rounds, each one 204 and {Rivals - 1} times 409, the winner's bytes served";
    }
}
