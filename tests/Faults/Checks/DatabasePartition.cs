using System.Diagnostics;
using System.Net.Http.Json;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Check 15 of the bar.</summary>
internal sealed class DatabasePartition : FaultCheck
{
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan HealLimit = TimeSpan.FromSeconds(5);

    /// <inheritdoc/>
    public override string Name => "database-partition";

    /// <inheritdoc/>
    public override string Description => """
          For 30 s no byte passes between server and database, and no connection ends. Every request is answered within 15 s,
          /readyz with 503, /livez with 200. Within 5 s after bytes pass again everything works.
        """;

    /// <inheritdoc/>
    public override bool OnEmbedded => false;

    /// <summary>Seconds.</summary>
    public override int Rounds => 30;

    /// <inheritdoc/>
    public override int SmokeRounds => 8;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await ProductionSite.CreateAsync(trial.Servers);
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var registry = await site.StartAsync();
        var http = registry.Client;
        var content = trial.Bytes(1_000_000);
        var id = await http.AddAsync(content);
        ledger.Keep(id, Promise.Of(content));
        var queued = await http.CreateAsync("queued");
        await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => http.GetStringAsync("/v2/images"))); // open connections

        site.DatabaseGate.Harm(new GateFault { Holds = true });
        var partition = Stopwatch.StartNew();
        var length = TimeSpan.FromSeconds(trial.Rounds);
        var asked = new (string What, Func<Task<int>> Ask)[]
        {
            ("GET /readyz", () => AskAsync(http, HttpMethod.Get, "/readyz")),
            ("GET /livez", () => AskAsync(http, HttpMethod.Get, "/livez")),
            ("list", () => AskAsync(http, HttpMethod.Get, "/v2/images")),
            ("show", () => AskAsync(http, HttpMethod.Get, $"/v2/images/{id}")),
            ("download", () => AskAsync(http, HttpMethod.Get, $"/v2/images/{id}/file")),
            ("create", () => AskAsync(http, HttpMethod.Post, "/v2/images", JsonContent.Create(new { name = "lost" }))),
            ("upload", () => http.UploadAsync(queued, content)),
            ("tag", () => AskAsync(http, HttpMethod.Put, $"/v2/images/{id}/tags/t")),
        };
        var answers = await Task.WhenAll(asked.Select(request => RepeatAsync(
            request.What, request.Ask, trial.Within(AnswerLimit), partition, length)));
        site.DatabaseGate.Up();

        var healed = Stopwatch.StartNew();
        while (await AskAsync(http, HttpMethod.Get, "/readyz") != 200 || await TryCreateAsync(http) != 201)
        {
            if (healed.Elapsed > trial.Within(HealLimit))
            {
                throw new FaultException($"{healed.Elapsed.TotalSeconds:F0} s after the partition the registry does not work");
            }

            await Task.Delay(50);
        }

        healed.Stop();
        await new Invariants(site, ledger).RequireAsync(registry);
        var slowest = answers.MaxBy(answer => answer.Slowest);
        return $"{trial.Rounds} s, {answers.Sum(a => a.Count)} requests, the slowest ({slowest.What}) answered after " +
            $"{slowest.Slowest.TotalSeconds:F1} s; worked again after {healed.Elapsed.TotalSeconds:F1} s";
    }

    private static async Task<(string What, int Count, TimeSpan Slowest)> RepeatAsync(
        string what, Func<Task<int>> ask, TimeSpan limit, Stopwatch partition, TimeSpan length)
    {
        var (count, slowest) = (0, TimeSpan.Zero);
        do
        {
            var elapsed = Stopwatch.StartNew();
            var answered = ask();
            if (await Task.WhenAny(answered, Task.Delay(limit)) != answered)
            {
                throw new FaultException($"{what} is not answered within {limit.TotalSeconds:F0} s");
            }

            var status = await answered;
            if (what == "GET /livez" ? status != 200 : status != 503)
            {
                throw new FaultException($"{what} is answered with {status}");
            }

            slowest = elapsed.Elapsed > slowest ? elapsed.Elapsed : slowest;
            count++;
            await Task.Delay(100);
        }
        while (partition.Elapsed < length);
        return (what, count, slowest);
    }

    private static async Task<int> AskAsync(HttpClient http, HttpMethod method, string path, HttpContent? content = null)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        using var response = await http.SendAsync(request);
        return (int)response.StatusCode;
    }

    private static Task<int> TryCreateAsync(HttpClient http) =>
        AskAsync(http, HttpMethod.Post, "/v2/images", JsonContent.Create(new { name = "after" }));
}
