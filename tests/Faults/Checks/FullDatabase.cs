using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;

namespace Registry.Faults.Checks;

/// <summary>A disk that is full or read-only, with the database on it.</summary>
internal sealed class FullDatabase : FaultCheck
{
    private const int Images = 12;
    private const int ImageBytes = 1 << 20;
    private static readonly TimeSpan ReadyLimit = TimeSpan.FromSeconds(10);

    /// <inheritdoc/>
    public override string Name => "full-database";

    /// <inheritdoc/>
    public override string Description => """
          Database and store are on one tmpfs of 96 MiB that is filled to the last page. Reading, listing and deleting work;
          writing is answered with 413, store_full and Retry-After; /readyz says degraded. The same after kill -9, after a stop,
          and with other programs taking what room there is. What is deleted makes room, and then writing works again. On a
          read-only file system a start comes up for reading. Needs root.
        """;

    /// <inheritdoc/>
    public override bool OnProduction => false; // a database server keeps its own reserve

    /// <inheritdoc/>
    public override int Rounds => 5;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        var (deleted, slowest) = (0, TimeSpan.Zero);
        for (var round = 0; round < trial.Rounds; round++)
        {
            await using var mount = await Mount.TmpfsAsync(96);
            await using var site = new EmbeddedSite(Path.Combine(mount.Path, "data"));
            var registry = await site.StartAsync();
            var kept = new Dictionary<string, Promise>();
            for (var i = 0; i < Images; i++)
            {
                var content = trial.Bytes(ImageBytes);
                kept.Add(await registry.Client.AddAsync(content, $"image {i}"), Promise.Of(content));
            }

            var filler = await mount.FillAsync();
            deleted += await RequireReadingAndDeletingAsync(registry.Client, mount, kept);
            foreach (var isKill in trial.IsSmoke ? [true] : new[] { true, false })
            {
                await (isKill ? registry.KillAsync() : registry.StopAsync());
                await mount.FillAsync();
                var elapsed = Stopwatch.StartNew();
                registry = await site.StartAsync();
                slowest = slowest > elapsed.Elapsed ? slowest : elapsed.Elapsed;
                if (elapsed.Elapsed > trial.Within(ReadyLimit))
                {
                    throw new FaultException($"ready on a full disk after {elapsed.Elapsed.TotalSeconds:F1} s");
                }

                deleted += await RequireReadingAndDeletingAsync(registry.Client, mount, kept);
            }

            File.Delete(filler);
            await Task.Delay(TimeSpan.FromSeconds(1.5)); // the reserve looks for room once a second
            await RequireReadyAsync(registry.Client, "OK");
            var last = trial.Bytes(ImageBytes);
            kept.Add(await registry.Client.AddAsync(last), Promise.Of(last));
            await registry.StopAsync();
            await RequireReadOnlyAsync(trial, site, mount, kept);
        }

        return string.Create(
            CultureInfo.InvariantCulture,
            $"{trial.Rounds} rounds: {deleted} deletions on a full disk, ready on it within {slowest.TotalSeconds:F1} s");
    }

    // Four deletions, with the disk filled up again before each: nothing lives on what the last one made free.
    private static async Task<int> RequireReadingAndDeletingAsync(
        HttpClient http, Mount mount, Dictionary<string, Promise> kept)
    {
        const int deletions = 3;
        await RefuseAsync(http, kept.Keys.First());
        await RequireReadyAsync(http, "degraded: store_full");
        for (var i = 0; i < deletions; i++)
        {
            await RequireKeptAsync(http, kept);
            var id = kept.Keys.First();
            using var answer = await http.DeleteAsync($"/v2/images/{id}");
            if (answer.StatusCode != HttpStatusCode.NoContent)
            {
                throw new FaultException(
                    $"a deletion on a full disk is answered with {(int)answer.StatusCode}: {await answer.Content.ReadAsStringAsync()}");
            }

            kept.Remove(id);
            await mount.FillAsync();
        }

        return deletions;
    }

    private static async Task RequireKeptAsync(HttpClient http, Dictionary<string, Promise> kept)
    {
        foreach (var (id, promise) in kept)
        {
            var (sha512, _, length) = await http.DigestAsync(id);
            if (new Promise(sha512, length) != promise)
            {
                throw new FaultException($"{id} is read with other bytes");
            }
        }

        using var list = await http.GetAsync("/v2/images?limit=100");
        var listed = await list.Content.ReadAsStringAsync();
        if (kept.Keys.Any(id => !listed.Contains(id, StringComparison.Ordinal)))
        {
            throw new FaultException($"a list on a full disk leaves images out: {(int)list.StatusCode} {listed}");
        }
    }

    // The first writes may find the last room; then there is none, and the refusals say so.
    private static async Task RefuseAsync(HttpClient http, string id)
    {
        const int triesMax = 2000;
        for (var i = 0; ; i++)
        {
            using var answer = await http.PostAsJsonAsync(
                "/v2/images", new { name = $"full {i} {new string('x', 200)}", disk_format = "raw", container_format = "bare" });
            if (answer.StatusCode != HttpStatusCode.Created)
            {
                await RequireFullAsync(answer, "POST");
                break;
            }

            if (i == triesMax)
            {
                throw new FaultException($"{triesMax} images were registered on a full disk");
            }
        }

        using var tag = await http.PutAsync($"/v2/images/{id}/tags/full", null);
        await RequireFullAsync(tag, "PUT of a tag");
    }

    private static async Task RequireFullAsync(HttpResponseMessage answer, string what)
    {
        var reason = answer.Headers.TryGetValues("X-Registry-Reason", out var values) ? values.Single() : "";
        if (answer.StatusCode != HttpStatusCode.RequestEntityTooLarge || reason != "store_full"
            || answer.Headers.RetryAfter is null)
        {
            throw new FaultException(
                $"{what} on a full disk is answered with {(int)answer.StatusCode} {reason}: {await answer.Content.ReadAsStringAsync()}");
        }
    }

    private static async Task RequireReadyAsync(HttpClient http, string expected)
    {
        using var answer = await http.GetAsync("/readyz");
        var said = await answer.Content.ReadAsStringAsync();
        if (answer.StatusCode != HttpStatusCode.OK || !said.StartsWith(expected, StringComparison.Ordinal))
        {
            throw new FaultException($"/readyz says {(int)answer.StatusCode} {said} and not {expected}");
        }
    }

    // After a stop, without a log, and after a kill, with one.
    private static async Task RequireReadOnlyAsync(
        Trial trial, EmbeddedSite site, Mount mount, Dictionary<string, Promise> kept)
    {
        foreach (var isKilled in trial.IsSmoke ? [true] : new[] { false, true })
        {
            if (isKilled)
            {
                var writer = await site.StartAsync();
                var content = trial.Bytes(ImageBytes);
                kept.Add(await writer.Client.AddAsync(content), Promise.Of(content));
                await writer.KillAsync();
            }

            await mount.SetReadOnlyAsync(true);
            var registry = await site.StartAsync();
            await RequireKeptAsync(registry.Client, kept);
            await RequireReadyAsync(registry.Client, "degraded: read_only");
            using (var answer = await registry.Client.PutAsync($"/v2/images/{kept.Keys.First()}/tags/t", null))
            {
                if (answer.StatusCode != HttpStatusCode.ServiceUnavailable || answer.Headers.RetryAfter is null)
                {
                    throw new FaultException($"a tag on a read-only disk is answered with {(int)answer.StatusCode}");
                }
            }

            using (var answer = await registry.Client.DeleteAsync($"/v2/images/{kept.Keys.First()}"))
            {
                if (answer.StatusCode != HttpStatusCode.ServiceUnavailable)
                {
                    throw new FaultException($"a deletion on a read-only disk is answered with {(int)answer.StatusCode}");
                }
            }

            await registry.StopAsync();
            await mount.SetReadOnlyAsync(false);
        }
    }
}
