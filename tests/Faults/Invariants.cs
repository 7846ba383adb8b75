using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using Registry.Support;

namespace Registry.Faults;

/// <summary>What must hold after every fault, checked against the API, the database and the store.</summary>
/// <remarks>I1 integrity, I2 durability, I3 no half state, I4 liveness, I5 no orphans, I6 no danglers, I7 accounting, I8
/// immutability, I9 isolation, I10 once, I11 provisioned disks, I12 secrecy, I13 bounds.</remarks>
internal sealed class Invariants(Site site, Ledger ledger)
{
    private const long MemoryKibMax = 300 * 1024;
    private const long MemoryKibPerUpload = 100 * 1024; // an upload to a bucket; DESIGN of issue 5
    private const long MemoryKibPerReader = 256; // a piece, and what the connection has of one
    private const int HandlesMax = 900; // a directory store keeps 256 open, and some runs have two
    private const int ThreadsMax = 200;
    private const int DisksPerCheck = 2;
    private static readonly TimeSpan SettleLimit = TimeSpan.FromSeconds(62); // lease and a minute
    private readonly Dictionary<string, string> _seen = new(StringComparer.Ordinal);
    private readonly List<string> _problems = [];

    /// <summary>Uploads at once that the load makes at most.</summary>
    public int Uploads { get; init; } = 8;

    /// <summary>Downloads at once beyond those of the load, whose clients may read slowly.</summary>
    public int Readers { get; init; }

    /// <summary>Most bytes the project may keep; null for no limit.</summary>
    public long? Quota { get; init; }

    /// <summary>Images that are damaged on purpose.</summary>
    public HashSet<string> Damaged { get; } = new(StringComparer.Ordinal);

    /// <summary>Checks all of them.</summary>
    /// <param name="registry">A replica that runs.</param>
    /// <exception cref="FaultException">One does not hold.</exception>
    public async Task RequireAsync(RegistryProcess registry)
    {
        _problems.Clear();
        await SettleAsync();
        await NothingStrayAsync();
        await EverythingThereAsync(registry.Client);
        await PromisesAsync(registry.Client);
        await AccountsAsync();
        await OnceAsync();
        await NeverAgainAsync(registry.Client);
        foreach (var running in site.Started.Where(r => r.IsRunning))
        {
            Bounds(running); // of the load that was; what follows is the checker's own
        }

        await IsolationAsync(registry);
        await DisksAsync(registry);
        Secrets();

        if (_problems.Count > 0)
        {
            throw new FaultException(
                $"{string.Join("; ", _problems.Take(5))}{(_problems.Count > 5 ? $"; {_problems.Count} in all" : "")}");
        }
    }

    // I4: nothing stays between two states.
    private async Task SettleAsync()
    {
        const string busy = """
            select 'image ' || id || ' ' || status from images where status in ('saving', 'uploading', 'importing')
            union all select 'upload of ' || image_id from upload_intents
            union all select 'job ' || kind || ' ' || status from jobs where ended_at is null and owner is not null
            """;
        var waited = Stopwatch.StartNew();
        List<string[]> rows;
        while ((rows = await site.QueryAsync(busy)).Count > 0)
        {
            if (waited.Elapsed > SettleLimit)
            {
                _problems.Add($"I4 not settled after {SettleLimit.TotalSeconds} s: {rows[0][0]}");
                return;
            }

            await Task.Delay(100);
        }
    }

    // I5: what lies in the store is what images refer to, once the reaper has been there.
    private async Task NothingStrayAsync()
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            var wanted = (await site.QueryAsync(
                """
                select l.image_id || '/' || l.generation from image_locations l join images i on i.id = l.image_id
                where i.status <> 'deleted'
                """)).Select(row => row[0]).ToHashSet(StringComparer.Ordinal);
            var strays = (await site.ListAsync()).Where(f => f.Blob is null || !wanted.Contains(f.Blob))
                .Select(f => f.Name).Concat(await site.UnfinishedAsync()).ToList();
            if (strays.Count == 0)
            {
                return;
            }

            if (waited.Elapsed > SettleLimit)
            {
                _problems.Add($"I5 {strays.Count} leftovers: {strays[0]}");
                return;
            }

            await Task.Delay(250);
        }
    }

    // I1, I3, I6, I8: every active image is there, whole, the same as before, and what its row says.
    private async Task EverythingThereAsync(HttpClient http)
    {
        var stored = (await site.ListAsync()).Where(f => f.IsData).ToLookup(f => f.Blob, f => f.Length);
        var rows = await site.QueryAsync(
            """
            select i.id, i.size, i.checksum, i.os_hash_value, l.generation, l.data_length
            from images i left join image_locations l on l.image_id = i.id
            where i.status in ('active', 'deactivated')
            """);
        await Parallel.ForEachAsync(rows, new ParallelOptions { MaxDegreeOfParallelism = 4 }, async (row, _) =>
        {
            var (id, size, md5, sha512) = (row[0], row[1], row[2], row[3]);
            if (Damaged.Contains(id))
            {
                return;
            }

            if (row[4].Length == 0 || row[5] != size)
            {
                Problem($"I3 {id} is active without its bytes");
                return;
            }

            if (stored[$"{id}/{row[4]}"].Sum().ToString(CultureInfo.InvariantCulture) != size)
            {
                Problem($"I6 {id}: the store has {stored[$"{id}/{row[4]}"].Sum()} of {size} bytes");
                return;
            }

            try
            {
                var got = await http.DigestAsync(id);
                if ((got.Sha512, got.Md5, got.Length.ToString(CultureInfo.InvariantCulture)) != (sha512, md5, size))
                {
                    Problem($"I1 {id} downloads to other bytes than its row says");
                }
            }
            catch (HttpRequestException e)
            {
                Problem($"I1 {id} does not download: {e.Message}");
            }

            lock (_seen)
            {
                if (!_seen.TryAdd(id, sha512) && _seen[id] != sha512)
                {
                    _problems.Add($"I8 {id} has changed");
                }
            }
        });
    }

    // I2: what was acknowledged is so.
    private async Task PromisesAsync(HttpClient http)
    {
        var statuses = (await site.QueryAsync("select id, status, os_hash_value from images"))
            .ToDictionary(row => row[0], row => (Status: row[1], Sha512: row[2]));
        foreach (var (id, promise) in ledger.Kept)
        {
            var (status, sha512) = statuses.GetValueOrDefault(id, ("none", ""));
            if (ledger.Gone.ContainsKey(id))
            {
                Require(status is "deleted" or "none", $"I2 {id} was deleted and is {status}");
            }
            else if (status != "deleted" || !ledger.Doomed.ContainsKey(id))
            {
                Require(status == "active", $"I2 {id} was acknowledged and is {status}");
                Require(sha512 == promise.Sha512, $"I2 {id} has other bytes than were acknowledged");
            }
        }

        foreach (var (id, promise) in ledger.Sent.Where(sent => !ledger.Kept.ContainsKey(sent.Key)))
        {
            var (status, sha512) = statuses.GetValueOrDefault(id, ("none", ""));
            Require(status is "queued" or "active", $"I3 {id} was not acknowledged and is {status}");
            Require(status != "active" || sha512 == promise.Sha512, $"I3 {id} is active with other bytes than were sent");
        }

        var shown = await http.StatusAsync(ledger.Kept.Keys.FirstOrDefault() ?? Guid.NewGuid().ToString());
        Require(shown is "active" or "none", $"I2 the API shows an acknowledged image as {shown}");
    }

    // I7: nothing is promised any more, and no more is kept than may be.
    private async Task AccountsAsync()
    {
        Require(
            await site.CountAsync("select coalesce(sum(reserved_bytes), 0) from upload_intents") == 0,
            "I7 room is promised to nobody");
        if (Quota is { } limit)
        {
            var used = await site.CountAsync(
                """
                select coalesce(sum(l.data_length), 0) from image_locations l join images i on i.id = l.image_id
                where i.status <> 'deleted'
                """);
            Require(used <= limit, $"I7 {used} bytes are kept of {limit}");
        }
    }

    // I10: nothing was done twice.
    private async Task OnceAsync()
    {
        var twice = await site.QueryAsync(
            """
            select name from images where name like 'load-%' group by name having count(*) > 1
            union all select image_id from image_locations group by image_id, store_id having count(*) > 1
            union all select unique_key from jobs where ended_at is null and unique_key is not null
                group by unique_key having count(*) > 1
            """);
        Require(twice.Count == 0, twice.Count == 0 ? "" : $"I10 {twice[0][0]} was done twice");
    }

    // I8: an id that was deleted is never given to another image.
    private async Task NeverAgainAsync(HttpClient http)
    {
        if (ledger.Gone.Keys.FirstOrDefault() is { } id)
        {
            using var response = await http.PostAsJsonAsync("/v2/images", new { id });
            Require(response.StatusCode == HttpStatusCode.Conflict, $"I8 the id {id} was given again");
        }
    }

    // I9: nobody of another project is told of these images or given their bytes.
    private async Task IsolationAsync(RegistryProcess registry)
    {
        using var stranger = new HttpClient { BaseAddress = registry.Url };
        stranger.DefaultRequestHeaders.Add("X-Auth-Token", Site.Stranger);
        var listed = await stranger.GetStringAsync("/v2/images?limit=1000");
        Require(!listed.Contains("\"id\"", StringComparison.Ordinal), "I9 a stranger's list has an image");
        foreach (var id in ledger.Sent.Keys.Concat(ledger.Kept.Keys).Take(4).Concat(ledger.Gone.Keys.Take(2)))
        {
            foreach (var path in new[] { $"/v2/images/{id}", $"/v2/images/{id}/file", $"/registry/v1/images/{id}/disk" })
            {
                using var response = await stranger.GetAsync(path, HttpCompletionOption.ResponseHeadersRead);
                Require(
                    response.StatusCode == HttpStatusCode.NotFound, $"I9 a stranger's GET {path}: {response.StatusCode}");
            }
        }
    }

    // I11, of a few: each costs two runs of a program.
    private async Task DisksAsync(RegistryProcess registry)
    {
        var whole = ledger.Kept.Where(kept => kept.Value.Length > 0 && !Damaged.Contains(kept.Key)
            && !ledger.Doomed.ContainsKey(kept.Key) && !ledger.Gone.ContainsKey(kept.Key));
        foreach (var (id, promise) in whole.Take(DisksPerCheck))
        {
            if (await ProvisionedDisks.ProblemAsync(site, registry, id, promise) is { } problem)
            {
                Problem(problem);
            }
        }
    }

    // I12.
    private void Secrets()
    {
        foreach (var secret in site.Secrets)
        {
            Require(
                site.Started.All(r => !r.Log.Contains(secret, StringComparison.Ordinal)), "I12 a secret is in the log");
        }
    }

    // I13.
    private void Bounds(RegistryProcess registry)
    {
        var memory = registry.Status("VmHWM");
        var most = MemoryKibMax + (Readers * MemoryKibPerReader) + (site is ProductionSite ? Uploads * MemoryKibPerUpload : 0);
        Require(memory <= most, $"I13 {memory / 1024} MiB of memory");
        Require(Directory.GetFiles($"/proc/{registry.Id}/fd").Length <= HandlesMax, "I13 too many open files");
        Require(registry.Status("Threads") <= ThreadsMax, "I13 too many threads");
    }

    private void Require(bool holds, string problem)
    {
        if (!holds)
        {
            Problem(problem);
        }
    }

    private void Problem(string problem)
    {
        lock (_seen)
        {
            _problems.Add(problem);
        }
    }
}
