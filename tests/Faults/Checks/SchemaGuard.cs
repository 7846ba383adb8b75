namespace Registry.Faults.Checks;

/// <summary>Check 20 of the bar.</summary>
internal sealed class SchemaGuard : FaultCheck
{
    private const string Future = "99990101000000_Future";

    /// <inheritdoc/>
    public override string Name => "schema-guard";

    /// <inheritdoc/>
    public override string Description => """
          A database whose schema is newer than the program is refused with one line and exit code 1; one that is older too, in
          production, until registry db upgrade, and is upgraded by the embedded server itself. What was in it is unchanged.
        """;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => !isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using Site site = trial.IsProduction
            ? await ProductionSite.CreateAsync(trial.Servers, withSchema: false)
            : new EmbeddedSite();
        Directory.CreateDirectory(site.DataDirectory);
        await Schema.CreateOlderAsync(site, missing: int.MaxValue / 2);
        var told = "an older one was upgraded";
        if (trial.IsProduction)
        {
            told = await RefusedAsync(site, "older", "db upgrade");
            await RequireAsync(site, "db", "status", code: 1);
            await RequireAsync(site, "db", "upgrade", code: 0);
        }

        var registry = await site.StartAsync();
        using var answer = await registry.Client.GetAsync("/v2/images");
        var listed = await answer.Content.ReadAsStringAsync();
        await registry.StopAsync();
        if (await site.CountAsync("select count(*) from images") != 1 || !answer.IsSuccessStatusCode)
        {
            throw new FaultException($"the upgrade lost an image: {listed}");
        }

        await RequireAsync(site, "db", "status", code: 0);
        await site.ExecuteAsync($"""
            insert into "__EFMigrationsHistory" values ('{Future}', '99.0.0')
            """);
        await RequireAsync(site, "db", "status", code: 2);
        return $"{told}; {await RefusedAsync(site, "newer", "newer")}";
    }

    private static async Task<string> RefusedAsync(Site site, string what, string words)
    {
        var before = await SnapshotAsync(site);
        var (code, output) = await site.RunAsync("serve");
        var lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Where(line => line.StartsWith("registry: ", StringComparison.Ordinal)).ToList();
        if (code != 1 || lines.Count != 1 || !lines[0].Contains(words, StringComparison.Ordinal)
            || output.Contains("   at ", StringComparison.Ordinal))
        {
            throw new FaultException($"serve on a schema that is {what} exits with {code}: {output.Trim()}");
        }

        return before == await SnapshotAsync(site)
            ? $"a {what} one is refused with exit code {code}: \"{lines[0]}\""
            : throw new FaultException($"serve on a schema that is {what} has changed it");
    }

    private static async Task RequireAsync(Site site, string verb, string noun, int code)
    {
        if (await site.RunAsync(verb, noun) is var result && result.ExitCode != code)
        {
            throw new FaultException($"registry {verb} {noun} exits with {result.ExitCode}: {result.Output.Trim()}");
        }
    }

    // Everything that an upgrade would touch.
    private static async Task<string> SnapshotAsync(Site site) => string.Join(
        '\n',
        (await site.QueryAsync("""select * from "__EFMigrationsHistory" order by 1"""))
            .Concat(await site.QueryAsync("select id, status, owner, created_at, updated_at from images order by 1"))
            .Concat(await site.QueryAsync(site is ProductionSite
                ? "select table_name, column_name from information_schema.columns where table_schema = 'public' order by 1, 2"
                : "select name, sql from sqlite_master order by 1"))
            .Select(row => string.Join(' ', row)));
}
