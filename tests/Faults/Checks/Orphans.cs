namespace Registry.Faults.Checks;

/// <summary>Check 13 of the bar.</summary>
internal sealed class Orphans : FaultCheck
{
    private const int Strays = 10;
    private const int Lost = 3;

    /// <inheritdoc/>
    public override string Name => "orphans";

    /// <inheritdoc/>
    public override string Description => """
          Ten blobs that nobody refers to are put into the store and three of an image's are removed. registry scrub lists exactly
          these and changes nothing; registry scrub --apply removes the ten, once they are old enough, and keeps the three images.
        """;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => !isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        site.Settings["Registry__Uploads__ReapInterval"] = "01:00:00"; // it would be there before the scrub
        site.Settings["Registry__Uploads__ReapGrace"] = "00:00:03";
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var registry = await site.StartAsync();
        var ids = new List<string>();
        for (var i = 0; i < Lost + 2; i++)
        {
            var content = trial.Bytes(50_000);
            ids.Add(await registry.Client.AddAsync(content));
            ledger.Keep(ids[^1], Promise.Of(content));
        }

        var strays = Enumerable.Range(0, Strays).Select(_ => Guid.NewGuid().ToString()).ToList();
        foreach (var stray in strays)
        {
            await site.PutAsync($"{stray}/1/{(trial.IsProduction ? "data.0" : "data")}", trial.Bytes(1000));
        }

        foreach (var file in (await site.ListAsync()).Where(f => ids.Take(Lost).Any(f.Name.StartsWith)))
        {
            await site.RemoveAsync(file);
        }

        var before = await SnapshotAsync(site);
        var found = await registry.Client.ScrubAsync();
        Require(
            found.Where(f => f.Problem == "orphan").Select(f => f.Image).Order().SequenceEqual(strays.Order())
            && found.Where(f => f.Problem == "missing").Select(f => f.Image).Order().SequenceEqual(ids.Take(Lost).Order())
            && found.Count == Strays + Lost,
            $"the scrub found {found.Count} of {Strays + Lost}");
        Require(before == await SnapshotAsync(site), "a scrub that only reports has changed something");

        await Task.Delay(TimeSpan.FromSeconds(4)); // the grace
        await registry.Client.ScrubAsync(apply: true);
        var left = await site.ListAsync();
        Require(!left.Any(f => strays.Any(f.Name.StartsWith)), "the orphans are not removed");
        found = await registry.Client.ScrubAsync();
        Require(
            found.Count == Lost && await site.CountAsync("select count(*) from images where status = 'active'") == ids.Count,
            "images whose bytes are missing were removed");
        var invariants = new Invariants(site, ledger);
        invariants.Damaged.UnionWith(ids.Take(Lost));
        await invariants.RequireAsync(registry);
        return $"{Strays} orphans and {Lost} missing found, nothing changed; applied: {Strays} removed, {Lost} images kept";
    }

    private static async Task<string> SnapshotAsync(Site site) => string.Join(
        '\n',
        (await site.ListAsync()).Select(f => $"{f.Name} {f.Length}").Order()
            .Concat((await site.QueryAsync("select id, status from images order by id")).Select(r => string.Join(' ', r)))
            .Concat((await site.QueryAsync("select image_id, generation from image_locations order by 1"))
                .Select(r => string.Join(' ', r))));

    private static void Require(bool holds, string problem)
    {
        if (!holds)
        {
            throw new FaultException(problem);
        }
    }
}
