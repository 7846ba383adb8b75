using System.Diagnostics;
using System.Globalization;
using Registry.Faults;
using Registry.Faults.Checks;
using Registry.Support;

FaultCheck[] checks =
[
    new KillUploads(),
    new KillStarts(),
    new StartFaults(),
    new PowerCut(),
    new FsyncOrder(),
    new DiskFull(),
    new FullDatabase(),
    new ClientCut(),
    new StoreDown(),
    new CutDownload(),
    new CutProvision(),
    new ProvisionCrowd(),
    new Rot(),
    new Orphans(),
    new DatabaseRestart(),
    new DatabasePartition(),
    new LostCommit(),
    new OneWinner(),
    new JobRace(),
    new QuotaRace(),
    new GracefulStop(),
    new SchemaGuard(),
    new NotThere(),
    new LocationLeak(),
    new Deactivated(),
    new SlowClients(),
    new MemorySqueeze(),
    new DescriptorFlood(),
    new Soak(),
    new JsonBombs(),
    new ClockSteps(),
    new FlippedBits(),
    new PausedWorkers(),
    new Fairness(),
];
const int failed = 1, cannotRun = 2, misused = 64;
string on = "both", only = "";
int? rounds = null;
var seed = Random.Shared.Next();
var (isSmoke, isHelp) = (false, args.Length == 0);
for (var i = 0; i < args.Length; i++)
{
    switch (args[i])
    {
        case "--on" when i + 1 < args.Length:
            on = args[++i];
            break;
        case "--rounds" when i + 1 < args.Length && int.TryParse(args[i + 1], out var number):
            (rounds, i) = (number, i + 1);
            break;
        case "--seed" when i + 1 < args.Length && int.TryParse(args[i + 1], out var number):
            (seed, i) = (number, i + 1);
            break;
        case "--smoke":
            isSmoke = true;
            break;
        case "--help" or "-h":
            isHelp = true;
            break;
        default:
            (isHelp, only) = (isHelp || only.Length > 0, args[i]);
            break;
    }
}

FaultCheck[] chosen = [.. checks.Where(check => only == "all" || check.Name == only)];
if (isHelp || chosen.Length == 0 || on is not ("embedded" or "production" or "both"))
{
    Console.WriteLine(
        """
        usage: tests/faults/CHECK [--on embedded|production|both] [--rounds N] [--seed N] [--smoke]

        Configurations: embedded is SQLite and a directory, production is PostgreSQL and S3 (Ceph's gateway). After every
        fault the invariants I1 to I13 of tests/Faults/Invariants.cs are checked too.

          --on      where (both)
          --rounds  how often, or how many; each check has its own number
          --seed    of the random choices; printed, so that a run can be repeated
          --smoke   a short run beside other tests: answers may take six times as long as in a full one

        One summary line for each configuration; exit code 0: everything held, 1: something did not, 2: it cannot be run
        here, 64: misused. tests/faults/all runs them all and prints a table.

        """);
    foreach (var check in only == "all" || chosen.Length == 0 ? checks : chosen)
    {
        Console.WriteLine($"{check.Name} ({check.Rounds}; a short run {check.SmokeRounds})\n{check.Description}\n");
    }

    return isHelp && args.Length > 0 ? 0 : misused;
}

await using var servers = new Servers();
var codes = new List<int>();
foreach (var isProduction in new[] { false, true }.Where(p => on == "both" || p == (on == "production")))
{
    foreach (var check in chosen.Where(check => IsWanted(check, isProduction)))
    {
        codes.Add(await RunAsync(check, isProduction));
    }
}

if (codes.Count == 0)
{
    Console.WriteLine($"{only} says nothing about this configuration");
    return cannotRun;
}

return codes.Contains(failed) ? failed : codes.Contains(cannotRun) ? cannotRun : 0;

bool IsWanted(FaultCheck check, bool isProduction) => (isProduction ? check.OnProduction : check.OnEmbedded)
    && (only != "all" || !isSmoke || check.IsSmoked(isProduction));

async Task<int> RunAsync(FaultCheck check, bool isProduction)
{
    var started = Stopwatch.StartNew();
    var configuration = isProduction ? "production" : "embedded";
    Site.LogFile = RepositoryTree.File("artifacts", "faults", $"{check.Name}-{configuration}.log");
    var trial = new Trial(
        servers, isProduction, rounds ?? (isSmoke ? check.SmokeRounds : check.Rounds), seed, isSmoke,
        text => Console.Error.WriteLine($"  {check.Name}: {text}"));
    var (code, word, text) = (0, "ok", "");
    try
    {
        text = await check.RunAsync(trial);
    }
    catch (CannotRunException e)
    {
        (code, word, text) = (cannotRun, "not run", e.Message);
    }
    catch (FaultException e)
    {
        (code, word, text) = (failed, "FAILED", $"{e.Message} (log: {Site.LogFile})");
    }
    catch (Exception e)
    {
        (code, word, text) = (failed, "FAILED", $"{e.GetType().Name}: {e.Message.ReplaceLineEndings(" ")} (log: {Site.LogFile})");
        trial.Say($"{e}");
    }

    Console.WriteLine(string.Create(
        CultureInfo.InvariantCulture,
        $"{check.Name,-18} {configuration,-10} {word,-7} " +
        $"{started.Elapsed.TotalSeconds,5:F0} s  seed {seed}  {text}"));
    return code;
}
