using System.Net;

namespace Registry.Faults.Checks;

/// <summary>Check 18 of the bar.</summary>
internal sealed class QuotaRace : FaultCheck
{
    private const int Uploads = 20;
    private const int Deletions = 5;
    private const int Bytes = 10 << 20;
    private const long Limit = 100 << 20;

    /// <inheritdoc/>
    public override string Name => "quota-race";

    /// <inheritdoc/>
    public override string Description => """
          A project may keep 100 MiB. Twenty uploads of 10 MiB at once, half of them of unstated length, and five deletions amid them,
          over two replicas (embedded: one server). At no moment is more kept, and at the end exactly what was acknowledged.
        """;

    /// <inheritdoc/>
    public override int Rounds => 5;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        site.Settings["Registry__Limits__ProjectBytes"] = $"{Limit}";
        if (trial.IsProduction)
        {
            // What is tried is the sum and not the speed: they all wait for one lock, on a crowded machine for long.
            site.Settings["Registry__Database__ConnectionString"] += ";Timeout=15;Command Timeout=30";
        }

        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var first = await site.StartAsync();
        var second = trial.IsProduction ? await site.StartAsync() : first;
        var (accepted, refused, most) = (0, 0, 0L);
        for (var round = 0; round < trial.Rounds; round++)
        {
            using var over = new CancellationTokenSource();
            var polling = PollAsync(site, over.Token);
            var ids = new List<string>();
            for (var i = 0; i < Uploads; i++)
            {
                ids.Add(await first.Client.CreateAsync($"quota {round}.{i}"));
            }

            var content = trial.Bytes(Bytes);
            var uploads = ids.Select((id, number) => UploadAsync(
                (number % 2 == 0 ? first : second).Client, ledger, id, content, isStated: number % 4 < 2)).ToList();
            await Task.Delay(200);
            await Task.WhenAll(ids.Take(Deletions).Select(id => DeleteAsync(second.Client, ledger, id)));
            var statuses = await Task.WhenAll(uploads);
            await over.CancelAsync();
            most = Math.Max(most, await polling);
            if (statuses.FirstOrDefault(s => s is not (204 or 413 or 410 or 404 or 409)) is var odd and not 0)
            {
                throw new FaultException($"an upload was answered with {odd}");
            }

            accepted += statuses.Count(s => s == 204);
            refused += statuses.Count(s => s == 413);
            var expected = ledger.Kept.Keys.Count(id => !ledger.Gone.ContainsKey(id)) * (long)Bytes;
            var used = await site.CountAsync(UsedSql);
            if (most > Limit || used != expected)
            {
                throw new FaultException($"{most} bytes were kept at most; at the end {used}, acknowledged {expected}");
            }

            await new Invariants(site, ledger) { Uploads = Uploads, Quota = Limit }.RequireAsync(first);
            await ledger.DeleteAllAsync(first.Client);
        }

        return $"{trial.Rounds} rounds: {accepted} accepted, {refused} refused, at most {most >> 20} MiB of {Limit >> 20} kept";
    }

    private const string UsedSql = """
        select coalesce(sum(l.data_length), 0) from image_locations l join images i on i.id = l.image_id
        where i.status <> 'deleted'
        """;

    private static async Task<long> PollAsync(Site site, CancellationToken over)
    {
        var most = 0L;
        while (!over.IsCancellationRequested)
        {
            most = Math.Max(most, await site.CountAsync(UsedSql));
            await Task.Delay(50, CancellationToken.None);
        }

        return most;
    }

    private static async Task<int> UploadAsync(HttpClient http, Ledger ledger, string id, byte[] content, bool isStated)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, $"/v2/images/{id}/file");
        request.Content = new ByteArrayContent(content);
        request.Content.Headers.ContentType = new("application/octet-stream");
        request.Headers.TransferEncodingChunked = isStated ? null : true;
        request.Headers.ExpectContinue = true; // a refusal comes before the bytes
        try
        {
            using var response = await http.SendAsync(request);
            if (response.StatusCode == HttpStatusCode.NoContent)
            {
                ledger.Keep(id, Promise.Of(content));
            }

            return (int)response.StatusCode;
        }
        catch (HttpRequestException)
        {
            return (int)HttpStatusCode.RequestEntityTooLarge; // refused in the middle of the bytes
        }
    }

    private static async Task DeleteAsync(HttpClient http, Ledger ledger, string id)
    {
        ledger.Doom(id);
        using var response = await http.DeleteAsync($"/v2/images/{id}");
        response.EnsureSuccessStatusCode();
        ledger.Lose(id);
    }
}
