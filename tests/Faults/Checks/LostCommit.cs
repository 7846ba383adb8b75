using System.Net.Http.Json;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Check 15 of the bar, second half: the answer to a COMMIT that happened never comes.</summary>
internal sealed class LostCommit : FaultCheck
{
    private static readonly byte[] Commit = "COMMIT\0"u8.ToArray();

    /// <inheritdoc/>
    public override string Name => "lost-commit";

    /// <inheritdoc/>
    public override string Description => """
          The database commits, and its answer is swallowed with the connection: when an image is registered, at the begin and at the
          end of an upload, when it is tagged, copied and deleted. Each is read back and answered as done, and was done once.
        """;

    /// <inheritdoc/>
    public override bool OnEmbedded => false;

    /// <inheritdoc/>
    public override int Rounds => 20;

    /// <inheritdoc/>
    public override int SmokeRounds => 2;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await ProductionSite.CreateAsync(trial.Servers);
        site.Settings["Registry__Jobs__Workers"] = "0"; // commits of its own
        site.Settings["Registry__Limits__ProjectBytes"] = $"{100 << 20}";
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var registry = await site.StartAsync();
        var http = registry.Client;
        for (var round = 0; round < trial.Rounds; round++)
        {
            var name = $"load-{Guid.NewGuid()}";
            var id = await LoseAsync(site, () => http.CreateAsync(name));
            var content = trial.Bytes(200_000);
            var promise = Promise.Of(content);
            ledger.Send(id, promise);
            await LoseAsync(site, () => ExpectAsync(204, http.UploadAsync(id, content)), times: 1 + (round % 2));
            ledger.Keep(id, promise);
            await LoseAsync(site, () => SendAsync(http, HttpMethod.Put, $"/v2/images/{id}/tags/once", 204));
            await LoseAsync(site, () => SendAsync(
                http, HttpMethod.Post, "/registry/v1/scrubs", 202, JsonContent.Create(new { data = false })));
            var effects = await site.CountAsync(
                $"""
                select (select count(*) from images where name = '{name}')
                    + (select count(*) from image_tags where image_id = '{id}')
                    + (select count(*) from image_locations where image_id = '{id}')
                    + (select count(*) from jobs where kind = 'scrub' and ended_at is null)
                """);
            if (effects != 4)
            {
                throw new FaultException($"one each of image, tag, location and job is wanted; there are {effects}");
            }

            if (round % 2 == 1)
            {
                ledger.Doom(id);
                await LoseAsync(site, () => SendAsync(http, HttpMethod.Delete, $"/v2/images/{id}", 204));
                ledger.Lose(id);
            }
        }

        await registry.StopAsync();
        site.Settings["Registry__Jobs__Workers"] = "4"; // of which one project has half
        registry = await site.StartAsync();
        await new Invariants(site, ledger) { Quota = 100 << 20 }.RequireAsync(registry);
        return $"{trial.Rounds} rounds of register, upload, tag, order a job, delete: each answered as done, each done once";
    }

    private static async Task<T> LoseAsync<T>(ProductionSite site, Func<Task<T>> act, int times = 1)
    {
        site.DatabaseGate.Harm(new GateFault { LosesAnswerTo = Commit, Times = times });
        try
        {
            return await act();
        }
        finally
        {
            site.DatabaseGate.Up();
        }
    }

    private static Task<int> SendAsync(
        HttpClient http, HttpMethod method, string path, int expected, HttpContent? content = null) =>
        ExpectAsync(expected, StatusAsync(http, method, path, content));

    private static async Task<int> StatusAsync(HttpClient http, HttpMethod method, string path, HttpContent? content)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        using var response = await http.SendAsync(request);
        return (int)response.StatusCode;
    }

    private static async Task<int> ExpectAsync(int expected, Task<int> answer) =>
        await answer is var status && status == expected
            ? status
            : throw new FaultException($"answered with {status} instead of {expected}");
}
