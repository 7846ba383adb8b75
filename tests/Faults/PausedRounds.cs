using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Registry.Support;

namespace Registry.Faults;

/// <summary>The rounds of the check of replicas that are stopped: what each kind of work does, and what must hold.
/// </summary>
internal sealed class PausedRounds(
    Trial trial, Site site, Ledger ledger, FileServer web, RegistryProcess[] replicas)
{
    /// <summary>The store that copies go to.</summary>
    public const string SecondStore = "second";

    /// <summary>The target directory of disks.</summary>
    public const string Target = "volumes";

    private const int ImageBytes = 24 << 20;
    private static readonly TimeSpan CatchLimit = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan EndLimit = TimeSpan.FromSeconds(90);
    private static readonly TimeSpan Sleep = TimeSpan.FromSeconds(5); // the leases are 3 s
    private int _round;

    /// <summary>The replicas.</summary>
    public RegistryProcess[] Replicas { get; } = replicas;

    /// <summary>Replicas that were stopped amid their work.</summary>
    public int Caught { get; private set; }

    /// <summary>Jobs that another replica has completed.</summary>
    public int TakenOver { get; private set; }

    private HttpClient Http => Replicas[0].Client;

    /// <summary>Makes a round.</summary>
    public async Task RoundAsync(string kind)
    {
        _round++;
        switch (kind)
        {
            case "upload" or "stage":
                await SendAsync(kind == "upload" ? "file" : "stage");
                break;
            case "reap" or "scrub":
                await CleanAsync(kind);
                break;
            case "clone" or "provision":
                await ProvisionAsync(isImage: kind == "clone");
                break;
            case "copy" or "copy-image":
                await CopyAsync(kind);
                break;
            default:
                await ImportAsync(kind);
                break;
        }
    }

    /// <summary>Every job has ended, once, and none has failed.</summary>
    public async Task RequireEndedAsync()
    {
        var open = await site.QueryAsync(
            "select kind, id, attempt from jobs where owner is not null and (ended_at is null or status <> 'succeeded')");
        if (open.Count > 0)
        {
            throw new FaultException($"{open.Count} jobs have not succeeded: {string.Join(' ', open[0])}");
        }

        var twice = Replicas.SelectMany(replica => replica.Log.Split('\n'))
            .Where(line => line.Contains(": succeeded after", StringComparison.Ordinal))
            .Select(line => line[(line.IndexOf("job ", StringComparison.Ordinal) + 4)..].Split(',')[0])
            .GroupBy(job => job).FirstOrDefault(group => group.Count() > 1);
        if (twice is not null)
        {
            throw new FaultException($"job {twice.Key} succeeded {twice.Count()} times");
        }
    }

    /// <summary>A scrub of both stores, every byte, finds nothing once the reaper has been there.</summary>
    public async Task RequireCleanAsync()
    {
        var waited = Stopwatch.StartNew();
        IReadOnlyList<(string Problem, string Image)> found;
        while ((found = await Http.ScrubAsync()).Count > 0)
        {
            if (waited.Elapsed > trial.Within(TimeSpan.FromSeconds(30)))
            {
                throw new FaultException($"the scrub finds {found.Count} problems: {found[0].Problem} {found[0].Image}");
            }

            await Task.Delay(1000);
        }
    }

    // The request's replica sleeps in the middle of the body; the image is free for others by the time it wakes.
    private async Task SendAsync(string route)
    {
        var (sleeper, other) = Pick();
        var (first, second) = (trial.Bytes(ImageBytes), trial.Bytes(ImageBytes / 4));
        var id = await other.Client.CreateAsync($"round {_round}");
        using var content = new HeldContent(first);
        var sending = SendAsync(sleeper.Client, id, route, content);
        await content.IsHalfSent;
        await Task.Delay(trial.Random.Next(300));
        sleeper.Pause();
        Caught++;
        await Task.Delay(Sleep);
        var winner = await SendAsync(other.Client, id, route, second);
        sleeper.Resume();
        content.Continue();
        var late = await sending;
        if (winner == 204 && late == 204)
        {
            throw new FaultException($"round {_round}: both uploads to {id} were acknowledged");
        }

        for (var waited = Stopwatch.StartNew(); winner != 204 && late != 204;)
        {
            if (waited.Elapsed > trial.Within(EndLimit))
            {
                throw new FaultException($"round {_round}: uploads to {id} were answered with {winner} and {late}");
            }

            await Task.Delay(500);
            winner = await SendAsync(other.Client, id, route, second);
        }

        TakenOver += winner == 204 ? 1 : 0;
        if (route == "stage")
        {
            await ImportAsync(other, id, new { method = new { name = "glance-direct" } }, isPaused: false);
        }

        await RequireAsync(id, winner == 204 ? second : first);
    }

    private async Task CopyAsync(string kind)
    {
        var bytes = trial.Bytes(ImageBytes);
        var id = await Http.AddAsync(bytes, $"round {_round}");
        if (kind == "copy")
        {
            var job = await Http.PostAsync($"/registry/v1/images/{id}/copies", new { store = SecondStore });
            await SleepAsync(IdOf(job));
        }
        else
        {
            await ImportAsync(
                Replicas[1], id, new { method = new { name = kind }, stores = new[] { SecondStore } }, isPaused: true);
        }

        await RemoveAsync(Site.Store, id, bytes);
        using var deleted = await Http.DeleteAsync($"/v2/images/{id}"); // the invariants look at the first store only
        ledger.Doom(id);
        ledger.Lose(id);
    }

    private async Task ProvisionAsync(bool isImage)
    {
        var bytes = trial.Bytes(ImageBytes);
        var id = await Http.AddAsync(bytes, $"round {_round}");
        var name = string.Create(CultureInfo.InvariantCulture, $"disk-{_round:D4}");
        var order = isImage
            ? new Dictionary<string, string> { ["image_id"] = id, ["name"] = name, ["format"] = "raw" }
            : new Dictionary<string, string>
            {
                ["image_id"] = id, ["name"] = name, ["format"] = "raw", ["target"] = Target,
            };
        var job = await SleepAsync(IdOf(await Http.PostAsync("/registry/v1/provisions", order)));
        await RequireAsync(id, bytes);
        if (isImage)
        {
            await RequireAsync(job.GetProperty("result").GetProperty("image_id").GetString()!, bytes);
            return;
        }

        var files = Directory.GetFiles(Path.Combine(site.Scratch, Target), $"*{name}*");
        if (files.Length != 1 || !(await File.ReadAllBytesAsync(files[0])).AsSpan().SequenceEqual(bytes))
        {
            throw new FaultException($"round {_round}: {files.Length} files of {name}, or other bytes");
        }
    }

    private async Task ImportAsync(string method)
    {
        var bytes = trial.Bytes(ImageBytes);
        var id = await Http.CreateAsync($"round {_round}");
        object order = new { method = new { name = method }, stores = new[] { Site.Store } };
        if (method == "glance-direct")
        {
            using var body = new ByteArrayContent(bytes);
            if (await SendAsync(Http, id, "stage", body) is not 204 and var status)
            {
                throw new FaultException($"round {_round}: staging was answered with {status}");
            }

            order = new { method = new { name = method }, stores = new[] { SecondStore, Site.Store } };
        }
        else
        {
            var file = $"{_round}.raw";
            await File.WriteAllBytesAsync(Path.Combine(site.Scratch, "web", file), bytes);
            order = new { method = new { name = method, uri = web.UrlOf(file) }, stores = new[] { Site.Store } };
        }

        await ImportAsync(Replicas[1], id, order, isPaused: true);
        await RequireAsync(id, bytes);
        if (method == "glance-direct")
        {
            await RemoveAsync(SecondStore, id, bytes);
        }
    }

    private async Task ImportAsync(RegistryProcess replica, string id, object order, bool isPaused)
    {
        using var answer = await replica.Client.PostAsJsonAsync($"/v2/images/{id}/import", order);
        if (answer.StatusCode != HttpStatusCode.Accepted)
        {
            throw new FaultException(
                $"round {_round}: the import was answered with {await answer.Content.ReadAsStringAsync()}");
        }

        var job = (await site.QueryAsync($"select id from jobs where kind = 'import' and image_id = '{id}'"))[0][0];
        await (isPaused ? SleepAsync(job) : EndAsync(replica, job));
    }

    // The replica that reaps or scrubs sleeps while the other one uploads, copies and deletes.
    private async Task CleanAsync(string kind)
    {
        var doomed = await Http.AddAsync(trial.Bytes(ImageBytes / 4), $"round {_round}, deleted");
        var bytes = trial.Bytes(ImageBytes / 4);
        var kept = await Http.AddAsync(bytes, $"round {_round}");
        var job = kind == "scrub" ? IdOf(await Http.PostAsync("/registry/v1/scrubs", new { apply = true })) : null;
        ledger.Doom(doomed);
        using (var deleted = await Http.DeleteAsync($"/v2/images/{doomed}"))
        {
            ledger.Lose(doomed);
        }

        var sleeper = await CatchAsync(job is null ? "kind = 'reap'" : $"id = '{job}'");
        var other = Replicas.First(replica => replica != sleeper);
        var copied = await other.Client.PostAsync($"/registry/v1/images/{kept}/copies", new { store = SecondStore });
        var added = await other.Client.CreateAsync($"round {_round}, meanwhile");
        var status = await other.Client.UploadAsync(added, bytes); // 503 where the sleeper stopped in a transaction
        await Task.Delay(Sleep);
        sleeper?.Resume();
        await EndAsync(other, IdOf(copied));
        if (job is not null)
        {
            await EndAsync(other, job);
        }

        if (status == 204)
        {
            await RequireAsync(added, bytes);
        }

        await RequireAsync(kept, bytes);
        await RemoveAsync(SecondStore, kept, bytes);
    }

    // Stops the replica that has the job, until the other one has done it or the leases have run out twice.
    private async Task<JsonElement> SleepAsync(string job)
    {
        var sleeper = await CatchAsync($"id = '{job}'");
        if (sleeper is null)
        {
            return await EndAsync(Replicas[0], job);
        }

        var other = Replicas.First(replica => replica != sleeper);
        var slept = Stopwatch.StartNew();
        while (slept.Elapsed < Sleep
            || (slept.Elapsed < trial.Within(EndLimit)
                && await site.CountAsync($"select count(*) from jobs where id = '{job}' and ended_at is null") > 0))
        {
            await Task.Delay(200);
        }

        sleeper.Resume();
        await Task.Delay(TimeSpan.FromSeconds(3)); // what the sleeper does now must harm nothing
        var ended = await EndAsync(other, job);
        TakenOver += ended.GetProperty("attempt").GetInt32() > 1 ? 1 : 0;
        return ended;
    }

    private async Task<RegistryProcess?> CatchAsync(string which)
    {
        var delay = trial.Random.Next(400);
        var waited = Stopwatch.StartNew();
        while (waited.Elapsed < CatchLimit)
        {
            var rows = await site.QueryAsync(
                $"select lease_owner, ended_at is not null from jobs where {which} and (status = 'running' or ended_at is not null)");
            if (rows is [[var owner, "False"], ..] && Replicas.FirstOrDefault(replica => owner.Contains(
                    string.Create(CultureInfo.InvariantCulture, $"/{replica.Id}/"), StringComparison.Ordinal)) is { } found)
            {
                await Task.Delay(which.StartsWith("kind", StringComparison.Ordinal) ? 0 : delay);
                found.Pause();
                Caught++;
                return found;
            }

            if (rows is [[_, "True"], ..])
            {
                return null; // it was too fast
            }

            await Task.Delay(2);
        }

        return null;
    }

    private async Task<JsonElement> EndAsync(RegistryProcess replica, string job)
    {
        var ending = replica.Client.EndOfJobAsync(job);
        if (await Task.WhenAny(ending, Task.Delay(trial.Within(EndLimit))) != ending)
        {
            throw new FaultException($"round {_round}: job {job} does not end");
        }

        var ended = await ending;
        return ended.GetProperty("status").GetString() == "succeeded"
            ? ended
            : throw new FaultException($"round {_round}: {ended.GetRawText()}");
    }

    // What is left must be the whole image.
    private async Task RemoveAsync(string store, string id, byte[] bytes)
    {
        using var removed = await Http.DeleteAsync($"/v2/stores/{store}/{id}");
        if (removed.StatusCode != HttpStatusCode.NoContent)
        {
            throw new FaultException(
                $"round {_round}: {id} cannot be removed from {store}: {await removed.Content.ReadAsStringAsync()}");
        }

        await RequireAsync(id, bytes);
    }

    // What is acknowledged is the image's, through both replicas.
    private async Task RequireAsync(string id, byte[] bytes)
    {
        var promise = Promise.Of(bytes);
        ledger.Keep(id, promise);
        foreach (var replica in Replicas)
        {
            if ((await replica.Client.DigestAsync(id)).Sha512 != promise.Sha512)
            {
                throw new FaultException($"round {_round}: {id} has other bytes than were acknowledged");
            }
        }
    }

    private (RegistryProcess Sleeper, RegistryProcess Other) Pick()
    {
        var sleeper = trial.Random.Next(2);
        return (Replicas[sleeper], Replicas[1 - sleeper]);
    }

    private static string IdOf(JsonElement job) => job.GetProperty("id").GetString()!;

    private static async Task<int> SendAsync(HttpClient http, string id, string route, byte[] bytes)
    {
        using var content = new ByteArrayContent(bytes);
        return await SendAsync(http, id, route, content);
    }

    private static async Task<int> SendAsync(HttpClient http, string id, string route, HttpContent content)
    {
        content.Headers.ContentType = new("application/octet-stream");
        try
        {
            using var response = await http.PutAsync($"/v2/images/{id}/{route}", content);
            return (int)response.StatusCode;
        }
        catch (HttpRequestException)
        {
            return 0; // cut off
        }
    }
}
