using System.Diagnostics;
using System.Globalization;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Starts in which one system call fails.</summary>
internal sealed class StartFaults : FaultCheck
{
    private static readonly StartState[] States =
        [StartState.Fresh, StartState.Current, StartState.Previous, StartState.First];

    // Of the calls on files of the data directory; the largest number is about what a start makes of each.
    private static readonly (string Calls, int Most)[] Calls =
    [
        ("openat", 24), ("pwrite64,write", 40), ("fsync,fdatasync", 12), ("ftruncate,fallocate", 4), ("mkdir", 2),
        ("unlink", 3), ("pread64,read", 20), ("flock,fcntl", 20),
    ];

    private static readonly (string Calls, int Most)[] SocketCalls = [("sendmsg,sendto", 20), ("recvmsg,recvfrom", 20)];
    private static readonly TimeSpan SettleLimit = TimeSpan.FromSeconds(90); // under strace
    private static readonly TimeSpan ReadyLimit = TimeSpan.FromSeconds(10);

    /// <inheritdoc/>
    public override string Name => "start-faults";

    /// <inheritdoc/>
    public override string Description => """
          One system call of a start on the data directory fails with EIO or ENOSPC, or ends the process with kill -9: which one, which
          of its kind and in which state of the database is drawn (production: kill -9 at a call on a socket, of registry db upgrade
          and of the server). The start is ready, or ends with one line; the next one is ready within 10 s. Needs strace.
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
        var (injected, lines, slowest) = (0, new Dictionary<string, int>(), TimeSpan.Zero);
        for (var round = 0; round < trial.Rounds; round++)
        {
            var state = States[round % States.Length];
            var fault = Draw(trial);
            await starts.ResetAsync(state);
            var trace = Path.Combine(starts.Site.Scratch, "trace");
            if (trial.IsProduction && state != StartState.Current)
            {
                var isUpgrade = trial.Random.Next(2) == 0;
                await TryAsync(starts.Site, isUpgrade ? [strace, .. Arguments(starts.Site, fault, trace)] : [], "db", "upgrade");
                if (isUpgrade)
                {
                    await TryAsync(starts.Site, [], "db", "upgrade");
                }
            }

            var line = await TryAsync(starts.Site, [strace, .. Arguments(starts.Site, fault, trace)], "serve");
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
                    $"round {round}, {state}, {fault}: the next start was ready after {elapsed.Elapsed.TotalSeconds:F1} s");
            }

            await starts.RequireKeptAsync(state, registry.Client);
            await registry.KillAsync();
            if (round % 20 == 19)
            {
                trial.Say($"round {round + 1}: {injected} injected, {lines.Count} different lines, slowest {slowest.TotalSeconds:F1} s");
            }
        }

        foreach (var (line, count) in lines)
        {
            trial.Say($"{count} times: {line}");
        }

        return $"{trial.Rounds} starts, {injected} with a fault, {lines.Values.Sum()} ended with one line; " +
            $"every next start within {slowest.TotalSeconds:F1} s";
    }

    private static string Draw(Trial trial)
    {
        var calls = trial.IsProduction ? SocketCalls : Calls;
        var (call, most) = calls[trial.Random.Next(calls.Length)];
        var what = trial.IsProduction || trial.Random.Next(3) == 0 ? "signal=KILL"
            : trial.Random.Next(2) == 0 ? "error=EIO" : "error=ENOSPC";
        return string.Create(CultureInfo.InvariantCulture, $"{call}:{what}:when={trial.Random.Next(1, most + 1)}");
    }

    private static List<string> Arguments(Site site, string fault, string trace)
    {
        List<string> arguments = ["-f", "-qq", "-o", trace, "-e", $"trace={fault[..fault.IndexOf(':', StringComparison.Ordinal)]}"];
        if (site is EmbeddedSite embedded)
        {
            string[] files = ["", "lock", "reserve", "registry.db", "registry.db-wal", "registry.db-shm", "registry.db-journal"];
            foreach (var path in files.Select(file => Path.Combine(site.DataDirectory, file).TrimEnd('/'))
                .Append(embedded.Blobs).Append(Path.Combine(embedded.Blobs, ".uploads")))
            {
                arguments.AddRange(["-P", path]);
            }
        }

        return [.. arguments, "-e", $"inject={fault}", "--"];
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
