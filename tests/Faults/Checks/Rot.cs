using System.Globalization;
using System.Text.RegularExpressions;

namespace Registry.Faults.Checks;

/// <summary>Check 12 of the bar.</summary>
internal sealed partial class Rot : FaultCheck
{
    /// <inheritdoc/>
    public override string Name => "rot";

    /// <inheritdoc/>
    public override string Description => """
          One bit of a stored blob is turned. The download does not end well, the image is marked and the damage counted; registry
          scrub names that image alone and exits with 2; all others are served. Turned back, all is well.
        """;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => !isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var invariants = new Invariants(site, ledger);
        var registry = await site.StartAsync();
        var ids = new List<string>();
        for (var i = 0; i < 5; i++)
        {
            var content = trial.Bytes(300_000 * (i + 1));
            ids.Add(await registry.Client.AddAsync(content));
            ledger.Keep(ids[^1], Promise.Of(content));
        }

        var bad = ids[3];
        var file = (await site.ListAsync()).Single(f => f.IsData && f.Name.Contains(bad, StringComparison.Ordinal));
        await site.FlipAsync(file);
        try
        {
            await registry.Client.DigestAsync(bad);
            throw new FaultException("damaged bytes were served as whole");
        }
        catch (HttpRequestException)
        {
            invariants.Damaged.Add(bad);
        }

        if (await site.CountAsync($"select count(*) from image_locations where damaged_at is not null") != 1)
        {
            throw new FaultException("the damaged image is not marked, or others are");
        }

        await UntilCountedAsync(registry.Client, registry.Metrics);
        var (code, output) = await site.RunAsync("scrub", "--url", $"{registry.Url}");
        if (code != 2 || !output.Contains(bad, StringComparison.Ordinal)
            || ids.Any(id => id != bad && output.Contains(id, StringComparison.Ordinal)))
        {
            throw new FaultException($"registry scrub exits with {code}: {output.Trim()}");
        }

        await invariants.RequireAsync(registry);
        await site.FlipAsync(file);
        invariants.Damaged.Clear();
        (code, output) = await site.RunAsync("scrub", "--url", $"{registry.Url}");
        if (code != 0 || await site.CountAsync("select count(*) from image_locations where damaged_at is not null") != 0)
        {
            throw new FaultException($"after the repair registry scrub exits with {code}: {output.Trim()}");
        }

        await invariants.RequireAsync(registry);
        return "1 of 5 images: not served, marked, counted, found by scrub; whole again after the repair";
    }

    // The page is made anew a few times a second only.
    private static async Task UntilCountedAsync(HttpClient http, Uri metrics)
    {
        for (var look = 0; look < 100; look++)
        {
            var count = Counted().Match(await http.GetStringAsync(metrics)).Groups[1].Value;
            if (count.Length > 0 && double.Parse(count, CultureInfo.InvariantCulture) > 0)
            {
                return;
            }

            await Task.Delay(50);
        }

        throw new FaultException("the metrics do not count the damage");
    }

    [GeneratedRegex(@"^registry_store_corrupt\S* ([0-9.]+)", RegexOptions.Multiline)]
    private static partial Regex Counted();
}
