using System.Text;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Check 29 of the bar.</summary>
internal sealed class LocationLeak : FaultCheck
{
    private static readonly string[] Routes =
    [
        "/v2/images", "/v2/images/ID", "/v2/images/ID/file", "/v2/images/ID/members", "/v2/images/ID/locations",
        "/v2/images/ID/tasks", "/v2/tasks", "/v2/info/stores", "/v2/info/stores/detail", "/v2/info/usage",
        "/v2/schemas/image", "/registry/v1/images/ID/map", "/registry/v1/images/ID/disk?format=raw", "/registry/v1/jobs",
        "/registry/v1",
    ];

    /// <inheritdoc/>
    public override string Name => "location-leak";

    /// <inheritdoc/>
    public override string Description => """
          Fifteen routes as the owner and as somebody else, uploads, downloads, a scrub and a copy, with the store whole, away, and
          with bytes that are damaged or gone, the log at Trace: no answer, header, metric or line of the log holds a key of the
          store, an s3:// URL, a signature, a password or the data directory.
        """;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        foreach (var category in new[] { "Default", "Microsoft", "Microsoft.AspNetCore", "Microsoft.EntityFrameworkCore", "Npgsql" })
        {
            site.Settings[$"Logging__LogLevel__{category}"] = "Trace";
        }

        if (trial.IsProduction)
        {
            site.Settings["Registry__Stores__0__Silence"] = "00:00:02";
            site.Settings["Registry__Stores__0__Deadline"] = "00:00:04";
        }

        var registry = await site.StartAsync();
        using var owner = Site.ClientOf(registry, Site.Member);
        using var stranger = Site.ClientOf(registry, Site.Stranger);
        var answers = new List<string>();
        var content = trial.Bytes(200_000);
        var whole = await owner.AddAsync(content);
        var damaged = await owner.AddAsync(content);
        var gone = await owner.AddAsync(content);
        await LookAsync(answers, [owner, stranger], [whole]);

        foreach (var file in (await site.ListAsync()).Where(file => file.IsData))
        {
            if (file.Name.StartsWith(damaged, StringComparison.Ordinal))
            {
                await site.FlipAsync(file);
            }
            else if (file.Name.StartsWith(gone, StringComparison.Ordinal))
            {
                await site.RemoveAsync(file);
            }
        }

        await LookAsync(answers, [owner, stranger], [damaged, gone]);
        await registry.Client.ScrubAsync();
        await LookAsync(answers, [owner], [damaged]);

        await site.BreakStoreAsync(async () =>
        {
            await LookAsync(answers, [owner, stranger], [whole]);
            var id = await owner.CreateAsync("in vain");
            using var body = new ByteArrayContent(content);
            body.Headers.ContentType = new("application/octet-stream");
            await NoteAsync(answers, () => owner.PutAsync($"/v2/images/{id}/file", body));
            await LookAsync(answers, [owner], [id]);
        });
        await NoteAsync(answers, () => registry.Client.GetAsync(registry.Metrics));
        await registry.StopAsync();

        var failures = answers.Count(answer => answer.StartsWith('5'));
        if (failures == 0)
        {
            throw new FaultException("the store's failures were not seen by anybody: nothing was tried");
        }

        string[] secrets = [.. site.Secrets, CephS3.AccessKey, "s3://", "X-Amz-Signature", "Password="];
        var log = registry.Log;
        Require(answers, [.. secrets, site.Scratch], "an answer");
        Require(log.Split('\n'), [.. secrets, site.Scratch], "the log");
        return $"{answers.Count} answers, {failures} of them of a store that failed, and {log.Length >> 10} KiB of log say nothing";
    }

    private static void Require(IEnumerable<string> texts, IReadOnlyList<string> secrets, string where)
    {
        foreach (var text in texts)
        {
            if (secrets.FirstOrDefault(secret => text.Contains(secret, StringComparison.OrdinalIgnoreCase)) is { } leaked)
            {
                throw new FaultException($"'{leaked}' is in {where}: {text.ReplaceLineEndings(" | ")}");
            }
        }
    }

    private static async Task LookAsync(
        List<string> answers, IReadOnlyList<HttpClient> clients, IReadOnlyList<string> ids)
    {
        foreach (var client in clients)
        {
            foreach (var path in ids.SelectMany(id => Routes.Select(route => route.Replace("ID", id, StringComparison.Ordinal))))
            {
                await NoteAsync(answers, () => client.GetAsync(path));
            }
        }
    }

    // Bytes of the image are its owner's; what breaks off says nothing more than what came before.
    private static async Task NoteAsync(List<string> answers, Func<Task<HttpResponseMessage>> send)
    {
        try
        {
            using var response = await send();
            var answer = new StringBuilder($"{(int)response.StatusCode} {response.RequestMessage!.RequestUri!.AbsolutePath}\n");
            answer.Append(response.Headers).Append(response.Content.Headers).Append('\n');
            answers.Add(answer.Append(await response.Content.ReadAsStringAsync()).ToString());
        }
        catch (HttpRequestException broken)
        {
            answers.Add($"5 broken off: {broken.HttpRequestError}");
        }
    }
}
