using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Registry.Faults.Checks;

/// <summary>Check 17 of the bar.</summary>
internal sealed partial class JobRace : FaultCheck
{
    private const int ImageBytes = 16 * 512;
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);

    /// <inheritdoc/>
    public override string Name => "job-race";

    /// <inheritdoc/>
    public override string Description => """
          500 disks in a target directory are ordered at two replicas of two workers each (embedded: one server of two). Each is
          made, once, at the first attempt, by one worker, and holds what its image holds.
        """;

    /// <inheritdoc/>
    public override int Rounds => 500;

    /// <inheritdoc/>
    public override int SmokeRounds => 30;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        var target = Directory.CreateDirectory(Path.Combine(site.Scratch, "volumes")).FullName;
        site.Settings["Registry__Provisioning__Targets__0__Id"] = "volumes";
        site.Settings["Registry__Provisioning__Targets__0__Path"] = target;
        site.Settings["Registry__Jobs__Workers"] = "4"; // of which one project has half
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var first = await site.StartAsync();
        var second = trial.IsProduction ? await site.StartAsync() : first;
        var contents = Enumerable.Range(0, trial.Rounds).Select(_ => trial.Bytes(ImageBytes)).ToList();
        await Parallel.ForEachAsync(contents, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (content, _) =>
            ledger.Keep(await first.Client.AddAsync(content), Promise.Of(content)));

        var elapsed = Stopwatch.StartNew();
        await Parallel.ForEachAsync(
            ledger.Kept.Keys.Index(), new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (image, _) =>
                await (image.Index % 2 == 0 ? first : second).Client.PostAsync(
                    "/registry/v1/provisions", new { image_id = image.Item, target = "volumes", name = image.Item }));
        while (await site.CountAsync("select count(*) from jobs where kind = 'provision' and ended_at is null") > 0)
        {
            if (elapsed.Elapsed > Limit)
            {
                throw new FaultException($"not all jobs are done after {Limit.TotalMinutes} min");
            }

            await Task.Delay(100);
        }

        elapsed.Stop();
        var once = await site.CountAsync(
            "select count(*) from jobs where kind = 'provision' and status = 'succeeded' and attempt = 1");
        var told = new[] { first, second }.Distinct().SelectMany(r => Ended().Matches(r.Log)).Select(m => m.Groups[1].Value)
            .ToList();
        if (once != trial.Rounds || told.Count != trial.Rounds || told.Distinct().Count() != trial.Rounds)
        {
            throw new FaultException($"{trial.Rounds} jobs: {once} succeeded at once, done {told.Count} times");
        }

        var files = Directory.GetFiles(target);
        var wrong = files.Count(file => Promise.Of(File.ReadAllBytes(file)) != ledger.Kept[Path.GetFileName(file)]);
        if (files.Length != trial.Rounds || wrong > 0)
        {
            throw new FaultException($"{files.Length} disks, {wrong} of them wrong");
        }

        await new Invariants(site, ledger).RequireAsync(first);
        return $"{trial.Rounds} jobs in {elapsed.Elapsed.TotalSeconds:F0} s, each done once";
    }

    [GeneratedRegex(@"job provision ([0-9a-f-]{36}), attempt \d+: \w+ after \d+ ms""")]
    private static partial Regex Ended();
}
