using System.Diagnostics;

namespace Registry.Faults.Checks;

/// <summary>Starts that end with kill -9.</summary>
internal sealed class KillStarts : FaultCheck
{
    private static readonly StartState[] States =
        [StartState.Fresh, StartState.Current, StartState.Previous, StartState.First];

    private static readonly TimeSpan ReadyLimit = TimeSpan.FromSeconds(10);
    private readonly Dictionary<(StartState State, string Verb), TimeSpan> _whole = [];

    /// <inheritdoc/>
    public override string Name => "kill-starts";

    /// <inheritdoc/>
    public override string Description => """
          The registry is ended with kill -9 at a random moment of its start (production: of registry db upgrade too), on a fresh
          database, on a current one, and on older ones, sometimes twice in a row. The next start is ready within 10 s, and
          everything that was there is there.
        """;

    /// <inheritdoc/>
    public override int Rounds => 100;

    /// <inheritdoc/>
    public override int SmokeRounds => 2;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => !isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var starts = await StartSite.CreateAsync(trial);
        var slowest = TimeSpan.Zero;
        var (kills, late) = (0, 0);
        for (var round = 0; round < trial.Rounds; round++)
        {
            var state = States[round % States.Length];
            await starts.ResetAsync(state);
            foreach (var verb in Verbs(trial, state))
            {
                var whole = await TimeAsync(trial, starts, state, verb);
                var times = trial.Random.Next(4) == 0 ? 2 : 1;
                for (var time = 0; time < times; time++)
                {
                    kills++;
                    late += await KillAsync(trial, starts.Site, verb, whole) ? 0 : 1;
                }

                if (verb != "serve")
                {
                    await UpgradeAsync(trial, starts.Site, round, state);
                }
            }

            var elapsed = Stopwatch.StartNew();
            var registry = await starts.Site.StartAsync();
            slowest = slowest > elapsed.Elapsed ? slowest : elapsed.Elapsed;
            if (elapsed.Elapsed > trial.Within(ReadyLimit))
            {
                throw new FaultException($"round {round}, {state}: ready after {elapsed.Elapsed.TotalSeconds:F1} s");
            }

            await starts.RequireKeptAsync(state, registry.Client);
            await registry.KillAsync();
            if (round % 20 == 19)
            {
                trial.Say($"round {round + 1}: {kills} kills, slowest start {slowest.TotalSeconds:F1} s");
            }
        }

        return $"{trial.Rounds} rounds, {kills} kills ({late} after the end of the work), " +
            $"every next start within {slowest.TotalSeconds:F1} s";
    }

    private static string[] Verbs(Trial trial, StartState state) =>
        trial.IsProduction && state != StartState.Current ? ["db upgrade", "serve"] : ["serve"];

    // How long the verb takes undisturbed, so that kills hit all of it.
    private async Task<TimeSpan> TimeAsync(Trial trial, StartSite starts, StartState state, string verb)
    {
        if (_whole.TryGetValue((state, verb), out var known))
        {
            return known;
        }

        var elapsed = Stopwatch.StartNew();
        await using (var launch = Launch.Start(starts.Site, [], verb.Split(' ')))
        {
            await launch.SettleAsync(trial.Within(TimeSpan.FromMinutes(1)));
        }

        _whole[(state, verb)] = elapsed.Elapsed;
        if (verb != "serve" || !trial.IsProduction)
        {
            await starts.ResetAsync(state); // a server on PostgreSQL has changed nothing
        }

        return elapsed.Elapsed;
    }

    private static async Task<bool> KillAsync(Trial trial, Site site, string verb, TimeSpan whole)
    {
        await using var launch = Launch.Start(site, [], verb.Split(' '));
        await Task.Delay(whole * (trial.Random.NextDouble() * 1.1));
        var early = !launch.WasReady;
        await launch.KillAsync();
        return early;
    }

    private static async Task UpgradeAsync(Trial trial, Site site, int round, StartState state)
    {
        await using var launch = Launch.Start(site, [], "db", "upgrade");
        if (await launch.EndAsync(trial.Within(ReadyLimit)) != 0)
        {
            throw new FaultException($"round {round}, {state}: the next upgrade failed: {launch.Output.Trim()}");
        }
    }
}
