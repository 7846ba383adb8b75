using System.Globalization;
using System.Text.RegularExpressions;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Wall clocks that are stepped.</summary>
internal sealed partial class ClockSteps : FaultCheck
{
    private const int Uploads = 16;
    private const int Jobs = 12;
    private const int JobImageBytes = 8 << 20;
    private static readonly TimeSpan UploadTime = TimeSpan.FromSeconds(6); // three leases

    private static readonly TimeSpan[] Steps =
    [
        TimeSpan.FromHours(1), TimeSpan.FromHours(-1), TimeSpan.FromDays(1), TimeSpan.FromDays(-1), TimeSpan.Zero,
    ];

    /// <inheritdoc/>
    public override string Name => "clock-steps";

    /// <inheritdoc/>
    public override string Description => """
          The wall clocks of the servers are stepped by an hour and by a day, to and fro, each on its own, while 16 uploads last for
          three leases and 12 disks are made. Every upload is acknowledged, every job is done once and at its first attempt, and
          the reaper removes nothing that is wanted. Production: two replicas.
        """;

    /// <inheritdoc/>
    public override int Rounds => 20;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => !isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        var target = Directory.CreateDirectory(Path.Combine(site.Scratch, "volumes")).FullName;
        site.Settings["Registry__Provisioning__Targets__0__Id"] = "volumes";
        site.Settings["Registry__Provisioning__Targets__0__Path"] = target;
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var clocks = new List<ClockShim>();
        var servers = new List<RegistryProcess>();
        for (var number = 0; number < (trial.IsProduction ? 2 : 1); number++)
        {
            clocks.Add(await ClockShim.CreateAsync(site.Scratch, $"server{number}"));
            servers.Add(await site.StartAsync(clocks[number].Environment));
        }

        var source = trial.Bytes(JobImageBytes);
        var image = await servers[0].Client.AddAsync(source);
        ledger.Keep(image, Promise.Of(source));
        var steps = 0;
        for (var round = 0; round < trial.Rounds; round++)
        {
            using var done = new CancellationTokenSource();
            var stepping = StepAsync(new Random(trial.Random.Next()), clocks, done.Token);
            await Task.WhenAll(
                Task.WhenAll(Enumerable.Range(0, Uploads).Select(
                    number => UploadAsync(ledger, servers[number % servers.Count].Client, trial.Bytes(1 << 20)))),
                MakeDisksAsync(new Random(trial.Random.Next()), servers, target, image, Promise.Of(source)));
            await done.CancelAsync();
            steps += await stepping;
            clocks.ForEach(clock => clock.Step(TimeSpan.Zero));
            if (round % 5 == 4)
            {
                trial.Say($"round {round + 1}: {steps} steps");
            }
        }

        await RequireOnceAsync(site, servers, trial.Rounds * Jobs);
        await new Invariants(site, ledger).RequireAsync(servers[0]);
        if (!servers.All(server => server.Log.Contains("the wall clock was stepped by", StringComparison.Ordinal)))
        {
            throw new FaultException("the steps are not in the log");
        }

        return $"{trial.Rounds} rounds, {steps} steps: {trial.Rounds * Uploads} uploads acknowledged, " +
            $"{trial.Rounds * Jobs} jobs done once";
    }

    private static async Task<int> StepAsync(Random random, List<ClockShim> clocks, CancellationToken done)
    {
        var steps = 0;
        while (!done.IsCancellationRequested)
        {
            await Task.Delay(random.Next(200, 1200), done).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            clocks[random.Next(clocks.Count)].Step(Steps[random.Next(Steps.Length)]);
            steps++;
        }

        return steps;
    }

    private static async Task UploadAsync(Ledger ledger, HttpClient http, byte[] content)
    {
        var id = await http.CreateAsync("stepped");
        var promise = Promise.Of(content);
        ledger.Send(id, promise);
        using var body = new SlowBytes(content, UploadTime);
        if (await http.UploadAsync(id, body) is var status and not 204)
        {
            throw new FaultException($"an upload under way was answered with {status}");
        }

        ledger.Keep(id, promise);
    }

    private static async Task MakeDisksAsync(
        Random random, List<RegistryProcess> servers, string target, string image, Promise promise)
    {
        var names = new List<string>();
        for (var number = 0; number < Jobs; number++)
        {
            var http = servers[number % servers.Count].Client;
            var name = $"{Guid.NewGuid()}";
            var job = await http.PostAsync("/registry/v1/provisions", new { image_id = image, target = "volumes", name });
            names.Add(name);
            await Task.Delay(random.Next(300));
            var ended = await http.EndOfJobAsync(job.GetProperty("id").GetString()!).WaitAsync(TimeSpan.FromMinutes(2));
            if (ended.GetProperty("status").GetString() != "succeeded")
            {
                throw new FaultException($"a job ended as {ended.GetRawText()}");
            }
        }

        foreach (var name in names)
        {
            var file = Path.Combine(target, name);
            if (Promise.Of(await File.ReadAllBytesAsync(file)) != promise)
            {
                throw new FaultException($"the disk {name} holds other bytes");
            }

            File.Delete(file);
        }
    }

    private static async Task RequireOnceAsync(Site site, List<RegistryProcess> servers, int jobs)
    {
        var once = await site.CountAsync(
            "select count(*) from jobs where kind = 'provision' and status = 'succeeded' and attempt = 1");
        var done = servers.SelectMany(server => Ended().Matches(server.Log)).Select(match => match.Groups[1].Value).ToList();
        if (once != jobs || done.Count != jobs || done.Distinct().Count() != jobs)
        {
            throw new FaultException(string.Create(
                CultureInfo.InvariantCulture, $"of {jobs} jobs {once} succeeded at the first attempt, done {done.Count} times"));
        }
    }

    [GeneratedRegex(@"job provision ([0-9a-f-]{36}), attempt \d+: \w+ after \d+ ms""")]
    private static partial Regex Ended();
}
