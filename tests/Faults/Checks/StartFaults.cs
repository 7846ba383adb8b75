using System.Diagnostics;
using System.Globalization;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Starts in which one system call fails.</summary>
internal sealed class StartFaults : FaultCheck
{
    private static readonly StartState[] States =
        [StartState.Fresh, StartState.Current, StartState.Previous, StartState.First];

    // Of the calls on files of the data directory.
    private static readonly string[] Calls =
    [
        "openat", "pwrite64,write", "fsync,fdatasync", "ftruncate,fallocate", "mkdir", "unlink", "rename", "pread64,read",
        "flock,fcntl",
    ];

    private static readonly string[] SocketCalls = ["sendmsg,sendto", "recvmsg,recvfrom"];
    private static readonly TimeSpan SettleLimit = TimeSpan.FromSeconds(90); // under strace
    private static readonly TimeSpan ReadyLimit = TimeSpan.FromSeconds(10);

    /// <inheritdoc/>
    public override string Name => "start-faults";

    /// <inheritdoc/>
    public override string Description => """
          One system call of a start on the data directory fails with EIO or ENOSPC, or ends the process with kill -9 (production: kill
          -9 at a call on a socket, of registry db upgrade and of the server). Each round takes another one, drawn from all that a
          start makes in each state of the database; with more rounds than there are, the check ends when each had its turn. The
          start is ready, or ends with one line; the next one is ready within 10 s. Needs strace.
        """;

    /// <inheritdoc/>
    public override int Rounds => 150;

    /// <inheritdoc/>
    public override int SmokeRounds => 1;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => !isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        var strace = ExternalTool.Find("strace") ?? throw new CannotRunException("strace is not installed");
        await using var starts = await StartSite.CreateAsync(trial);
        var trace = Path.Combine(starts.Site.Scratch, "trace");
        var left = new Dictionary<StartState, Queue<string>>();
        var (rounds, injected, lines, slowest) = (0, 0, new Dictionary<string, int>(), TimeSpan.Zero);
        for (var turn = 0; rounds < trial.Rounds; turn++)
        {
            if (left.Count == States.Length && left.Values.All(faults => faults.Count == 0))
            {
                break;
            }

            var state = States[turn % States.Length];
            if (!left.TryGetValue(state, out var faults))
            {
                left[state] = faults = await FaultsAsync(trial, starts, state, strace, trace);
            }

            if (!faults.TryDequeue(out var fault))
            {
                continue;
            }

            rounds++;
            await starts.ResetAsync(state);
            if (trial.IsProduction && state != StartState.Current)
            {
                var isUpgrade = trial.Random.Next(2) == 0;
                await TryAsync(starts.Site, isUpgrade ? [strace, .. Injection(starts.Site, fault, trace)] : [], "db", "upgrade");
                if (isUpgrade)
                {
                    await TryAsync(starts.Site, [], "db", "upgrade");
                }
            }

            var line = await TryAsync(starts.Site, [strace, .. Injection(starts.Site, fault, trace)], "serve");
            injected += File.ReadLines(trace).Any(l => l.Contains("INJECTED", StringComparison.Ordinal)
                || l.Contains("SIGKILL", StringComparison.Ordinal)) ? 1 : 0;
            if (line is not null)
            {
                lines[line] = lines.GetValueOrDefault(line) + 1;
            }

            var elapsed = Stopwatch.StartNew();
            var registry = await starts.Site.StartAsync();
            slowest = slowest > elapsed.Elapsed ? slowest : elapsed.Elapsed;
            if (elapsed.Elapsed > trial.Within(ReadyLimit))
            {
                throw new FaultException(
                    $"round {rounds}, {state}, {fault}: the next start was ready after {elapsed.Elapsed.TotalSeconds:F1} s");
            }

            await starts.RequireKeptAsync(state, registry.Client);
            await registry.KillAsync();
            if (rounds % 20 == 0)
            {
                trial.Say($"round {rounds}: {injected} injected, {lines.Count} different lines, slowest {slowest.TotalSeconds:F1} s");
            }
        }

        foreach (var (line, count) in lines)
        {
            trial.Say($"{count} times: {line}");
        }

        var rest = left.Values.Sum(faults => faults.Count);
        return $"{rounds} starts{(rest == 0 ? ", every call had its turn" : "")}, {injected} with a fault, "
            + $"{lines.Values.Sum()} ended with one line; every next start within {slowest.TotalSeconds:F1} s";
    }

    // Each call that a start makes in this state, with each fault, in an order of chance.
    private static async Task<Queue<string>> FaultsAsync(
        Trial trial, StartSite starts, StartState state, string strace, string trace)
    {
        await starts.ResetAsync(state);
        if (trial.IsProduction)
        {
            await TryAsync(starts.Site, [], "db", "upgrade");
        }

        var groups = trial.IsProduction ? SocketCalls : Calls;
        await TryAsync(starts.Site, [strace, .. Watch(starts.Site, string.Join(',', groups), trace), "--"], "serve");
        var made = File.ReadLines(trace).ToList();
        string[] kinds = trial.IsProduction ? ["signal=KILL"] : ["signal=KILL", "error=EIO", "error=ENOSPC"];
        var faults =
            from calls in groups
            let count = made.Count(line => calls.Split(',').Any(call => line.Contains($" {call}(", StringComparison.Ordinal)))
            from call in Enumerable.Range(1, count)
            from kind in kinds
            select string.Create(CultureInfo.InvariantCulture, $"{calls}:{kind}:when={call}");
        return new Queue<string>(faults.OrderBy(_ => trial.Random.Next()));
    }

    private static List<string> Injection(Site site, string fault, string trace) =>
        [.. Watch(site, fault[..fault.IndexOf(':', StringComparison.Ordinal)], trace), "-e", $"inject={fault}", "--"];

    private static List<string> Watch(Site site, string calls, string trace)
    {
        List<string> arguments = ["-f", "-qq", "-o", trace, "-e", $"trace={calls}"];
        if (site is EmbeddedSite embedded)
        {
            string[] files = ["", "lock", "reserve", "registry.db", "registry.db-wal", "registry.db-shm", "registry.db-journal"];
            foreach (var path in files.Select(file => Path.Combine(site.DataDirectory, file).TrimEnd('/'))
                .Append(embedded.Blobs).Append(Path.Combine(embedded.Blobs, ".uploads")))
            {
                arguments.AddRange(["-P", path]);
            }
        }

        return arguments;
    }

    // Null: it was ready, or killed.
    private static async Task<string?> TryAsync(Site site, IReadOnlyList<string> wrapper, params string[] verb)
    {
        await using var launch = Launch.Start(site, wrapper, verb);
        if (await launch.SettleAsync(SettleLimit))
        {
            return null;
        }

        await launch.EndAsync(SettleLimit);
        const int killed = 137;
        if (launch.ExitCode is 0 or killed)
        {
            return null;
        }

        return launch.Lines is [var line] && !launch.Output.Contains("Unhandled exception", StringComparison.Ordinal)
            ? line.Trim()
            : throw new FaultException(
                $"{string.Join(' ', wrapper)}: exit code {launch.ExitCode} with {launch.Lines.Count} lines: {launch.Output.Trim()}");
    }
}
