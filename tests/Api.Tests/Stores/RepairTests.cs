using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Registry.Api.Jobs;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;
using Registry.Support;

namespace Registry.Api.Tests.Stores;

/// <summary>Damage that a read or a scrub finds is repaired from another store, or reported when no copy is whole.
/// </summary>
public sealed class RepairTests : IAsyncDisposable
{
    private const int Length = 300_000;
    private static readonly TimeSpan Lease = TimeSpan.FromHours(1);
    private readonly TempDirectory _directory = new();
    private RegistryApp _app = null!;

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task Damage_that_reads_find_is_repaired_by_one_job_and_the_right_bytes_are_served()
    {
        await StartAsync("one", "two");
        var id = await CopiedAsync();
        var old = await LocationAsync(id, "one");
        Flip(id, "one");
        var served = await Task.WhenAll(Enumerable.Range(0, 8).Select(
            _ => _app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop)));
        Assert.All(served, bytes => Assert.Equal(Bytes(), bytes));
        await UntilWholeAsync(id, old);
        var job = Assert.Single(await RepairsAsync(id));
        await UntilEndedAsync(job.GetProperty("id").GetString()!);
        job = Assert.Single(await RepairsAsync(id));
        Assert.Equal(
            ("succeeded", "repaired", Length),
            (job.GetProperty("status").GetString(), job.GetProperty("result").GetProperty("outcome").GetString(),
                job.GetProperty("result").GetProperty("bytes").GetInt32()));
        Assert.Equal("one,two", (await _app.ShowAsync(id)).GetProperty("stores").GetString());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Damage_that_a_scrub_finds_is_repaired(bool isMissing)
    {
        await StartAsync("one", "two");
        var id = await CopiedAsync();
        var old = await LocationAsync(id, "two");
        if (isMissing)
        {
            File.Delete(DataOf(id, "two"));
        }
        else
        {
            Flip(id, "two");
        }

        using var asked = await _app.Http.PostAsJsonAsync("/registry/v1/scrubs", new { }, RegistryApp.Stop);
        Assert.Equal(202, (int)asked.StatusCode);
        await UntilWholeAsync(id, old);
    }

    [Fact]
    public async Task The_only_copy_is_not_repaired_but_reported_by_an_event_and_on_the_image()
    {
        await using var receiver = new EventReceiver();
        await StartAsync(
            ["one"], ("Registry:Events:Webhook", receiver.Url), ("Registry:Events:Poll", "00:00:00.05"));
        var id = await _app.UploadAsync(Bytes());
        Flip(id, "one");
        for (var read = 0; read < 3; read++)
        {
            await Assert.ThrowsAnyAsync<HttpRequestException>(
                () => _app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
        }

        await receiver.WaitAsync(id, "image.damaged", RegistryApp.Stop);
        using var patched = await _app.PatchAsync(id, """[{"op":"add","path":"/note","value":"x"}]""");
        await receiver.WaitAsync(id, "image.update", RegistryApp.Stop); // events of one image arrive in order
        var told = Assert.Single(receiver.Taken(id), e => e.Type == "image.damaged").Json.GetProperty("data");
        Assert.Equal(
            (id, "one"), (told.GetProperty("id").GetString(), told.GetProperty("damaged").GetString()));
        Assert.Equal("one", (await _app.ShowAsync(id)).GetProperty("damaged").GetString());
        Assert.Empty(await RepairsAsync(id));
    }

    [Fact]
    public async Task A_store_that_takes_no_bytes_is_not_repaired()
    {
        await using var mirror = new DirectoryServer(_directory.File("mirror"));
        await StartAsync(
            ["one"], ("Registry:Stores:1:Id", "mirror"), ("Registry:Stores:1:Kind", "http"),
            ("Registry:Stores:1:Endpoint", mirror.Address.ToString()), ("Registry:Stores:1:Weight", "10"));
        var id = await _app.UploadAsync(Bytes());
        var location = await LocationAsync(id, "one");
        var (from, to) = (Path.GetDirectoryName(DataOf(id, "one"))!, Path.Combine(
            _directory.File("mirror"), id, $"{location.Generation}"));
        Directory.CreateDirectory(to);
        foreach (var file in Directory.GetFiles(from))
        {
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        }

        await using (var db = await OpenDatabaseAsync())
        {
            db.Locations.Add(location.CopyAs(location.Key, "mirror", DateTimeOffset.UtcNow));
            await db.SaveChangesAsync(RegistryApp.Stop);
        }

        Flip(id, "mirror");
        Assert.Equal(Bytes(), await _app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
        Assert.Equal([true, false], await _app.DamagesAsync(id));
        Assert.Empty(await RepairsAsync(id));
    }

    [Fact]
    public async Task A_repair_whose_worker_was_killed_is_finished_by_the_next()
    {
        var (id, old) = await DamagedAsync();
        var lost = await LeaseAsync("repair", "worker 1");
        var killed = await _app.Services.GetRequiredService<CopyLedger>().BeginRepairAsync(
            old, lost.Owner, Lease, RegistryApp.Stop);
        await using var half = await _app.Services.GetRequiredService<StoreSet>().Get("one").BeginAsync(
            killed!.Key, Length, RegistryApp.Stop);
        await half.AppendAsync(BlobPart.Data, new byte[1000], RegistryApp.Stop);
        await Queue.ReclaimAsync(RegistryApp.Stop);
        var next = await LeaseAsync("repair", "worker 2");
        Assert.Equal((lost.Job.Id, 2), (next.Job.Id, next.Job.Attempt));
        Assert.Contains("\"repaired\"", await RunAsync(next), StringComparison.Ordinal);

        var refused = await Assert.ThrowsAsync<RegistryException>(() => RunLateAsync(lost, id));
        Assert.Equal(ErrorCode.Fenced, refused.Code);
        var now = await LocationAsync(id, "one");
        Assert.NotEqual(killed.Generation, now.Generation);
        Assert.Equal([false, false], await _app.DamagesAsync(id));
    }

    [Fact]
    public async Task A_repair_that_its_last_worker_completed_before_it_went_away_is_no_failure()
    {
        var (id, _) = await DamagedAsync();
        var run = await LeaseAsync("repair", "worker");
        await RunAsync(run);
        var job = run.Job;
        while (job.Attempt <= job.AttemptsMax)
        {
            await Queue.ReclaimAsync(RegistryApp.Stop);
            job = (await Queue.LeaseAsync(job.Id, $"worker {job.Attempt}", Lease, RegistryApp.Stop))!;
        }

        await _app.Services.GetRequiredService<JobAttempts>().RunAsync(job, RegistryApp.Stop);
        Assert.Equal("succeeded", Assert.Single(await RepairsAsync(id)).GetProperty("status").GetString());
    }

    [Theory]
    [InlineData("cleared")]
    [InlineData("deleted")]
    [InlineData("removed")]
    public async Task A_repair_that_is_no_longer_needed_ends_well(string meanwhile)
    {
        var (id, old) = await DamagedAsync();
        var run = await LeaseAsync("repair", "worker");
        switch (meanwhile)
        {
            case "cleared":
                await _app.Services.GetRequiredService<LocationHealth>().ClearAsync(old.Key, "one", RegistryApp.Stop);
                break;
            case "deleted":
                using (await _app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}"))
                {
                    break;
                }

            default:
                using (await _app.SendAsync(HttpMethod.Delete, $"/v2/stores/one/{id}"))
                {
                    break;
                }
        }

        Assert.Contains("\"not_needed\"", await RunAsync(run), StringComparison.Ordinal);
        Assert.Equal(meanwhile == "cleared", File.Exists(DataOf(id, "one", orNone: true)));
    }

    [Fact]
    public async Task A_repair_whose_source_is_damaged_too_leaves_both_copies_and_fails()
    {
        var (id, old) = await DamagedAsync();
        Flip(id, "two");
        var run = await LeaseAsync("repair", "worker");
        await Assert.ThrowsAsync<BlobCorruptException>(() => RunAsync(run));
        Assert.Equal([true, true], await _app.DamagesAsync(id));
        Assert.Equal(old.Generation, (await LocationAsync(id, "one")).Generation);
        var refused = await Assert.ThrowsAsync<RegistryException>(() => RunAsync(run));
        Assert.Equal((ErrorCode.Conflict, "no_whole_location"), (refused.Code, refused.Reason));
        Assert.True(File.Exists(DataOf(id, "one")));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_source_that_cannot_be_copied_is_passed_over_for_the_next(bool isFlipped)
    {
        var (id, old) = await DamagedAsync("one", "two", "three");
        if (isFlipped)
        {
            Flip(id, "two");
        }
        else
        {
            File.Delete(DataOf(id, "two"));
        }

        Assert.Contains("\"repaired\"", await RunAsync(await LeaseAsync("repair", "worker")), StringComparison.Ordinal);
        Assert.NotEqual(old.Generation, (await LocationAsync(id, "one")).Generation);
        Assert.Equal(Bytes(), await File.ReadAllBytesAsync(DataOf(id, "one"), RegistryApp.Stop));
        Assert.Equal([false, false, isFlipped], await _app.DamagesAsync(id)); // one, three, two
        Assert.Equal(isFlipped ? 2 : 1, (await RepairsAsync(id)).Count);
    }

    private JobQueue Queue => _app.Services.GetRequiredService<JobQueue>();

    private static byte[] Bytes()
    {
        var bytes = new byte[Length];
        new Random(5).NextBytes(bytes);
        return bytes;
    }

    private Task StartAsync(params string[] stores) => StartAsync(stores, []);

    private async Task StartAsync(string[] stores, params (string Name, string Value)[] settings)
    {
        _app = new RegistryApp { Settings = { ["Registry:Jobs:Poll"] = "00:00:00.05" } };
        for (var i = 0; i < stores.Length; i++)
        {
            _app.Settings[$"Registry:Stores:{i}:Id"] = stores[i];
            _app.Settings[$"Registry:Stores:{i}:Path"] = _directory.File(stores[i]);
        }

        foreach (var (name, value) in settings)
        {
            _app.Settings[name] = value;
        }

        await _app.InitializeAsync();
    }

    private Task<(string Id, ImageLocation Old)> DamagedAsync() => DamagedAsync("one", "two");

    // An image in each store, damaged in the first; its repair waits for a worker.
    private async Task<(string Id, ImageLocation Old)> DamagedAsync(params string[] stores)
    {
        await StartAsync(stores, ("Registry:Jobs:Workers", "0"));
        var id = await _app.UploadAsync(Bytes());
        foreach (var store in stores.Skip(1))
        {
            using var asked = await _app.Http.PostAsJsonAsync(
                $"/registry/v1/images/{id}/copies", new { store }, RegistryApp.Stop);
            var copy = await LeaseAsync("copy", "worker");
            await RunAsync(copy);
            await Queue.CompleteAsync(copy.Job.Lease, default, result: null, RegistryApp.Stop);
        }

        Flip(id, "one");
        Assert.Equal(Bytes(), await _app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
        Assert.Equal([true, .. stores.Skip(1).Select(_ => false)], await _app.DamagesAsync(id));
        return (id, await LocationAsync(id, "one"));
    }

    private async Task<string> CopiedAsync()
    {
        var id = await _app.UploadAsync(Bytes());
        using var asked = await _app.Http.PostAsJsonAsync(
            $"/registry/v1/images/{id}/copies", new { store = "two" }, RegistryApp.Stop);
        await UntilEndedAsync((await RegistryApp.JsonAsync(asked)).GetProperty("id").GetString()!);
        return id;
    }

    private async Task<JobRun> LeaseAsync(string kind, string worker) =>
        new((await Queue.LeaseAsync([kind], worker, Lease, RegistryApp.Stop))!);

    private Task<string?> RunAsync(JobRun run) => _app.Services.GetServices<IJobHandler>()
        .Single(handler => handler.Kind == run.Job.Kind).RunAsync(run, RegistryApp.Stop);

    // Damage that is found again while the job is another worker's.
    private async Task<string?> RunLateAsync(JobRun run, string id)
    {
        var now = await LocationAsync(id, "one");
        var health = _app.Services.GetRequiredService<LocationHealth>();
        await health.MarkAsync(now.Key, "one", repair: null, RegistryApp.Stop);
        try
        {
            return await RunAsync(run);
        }
        finally
        {
            await health.ClearAsync(now.Key, "one", RegistryApp.Stop);
        }
    }

    private async Task UntilEndedAsync(string job)
    {
        while ((await _app.Http.GetFromJsonAsync<JsonElement>($"/registry/v1/jobs/{job}", RegistryApp.Stop))
            .GetProperty("ended_at").ValueKind == JsonValueKind.Null)
        {
            await Task.Delay(20, RegistryApp.Stop);
        }
    }

    private async Task UntilWholeAsync(string id, ImageLocation old)
    {
        while ((await _app.DamagesAsync(id)).Contains(true)
            || (await LocationAsync(id, old.StoreId)).Generation == old.Generation
            || Directory.Exists(Path.Combine(_directory.File(old.StoreId), id, $"{old.Generation}")))
        {
            await Task.Delay(20, RegistryApp.Stop);
        }

        foreach (var store in new[] { "one", "two" })
        {
            var data = await File.ReadAllBytesAsync(DataOf(id, store), RegistryApp.Stop);
            Assert.Equal(Bytes(), data);
        }

        Assert.Equal(Bytes(), await _app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
    }

    private async Task<IReadOnlyList<JsonElement>> RepairsAsync(string id) =>
    [
        .. (await _app.Http.GetFromJsonAsync<JsonElement>(
            $"/registry/v1/jobs?image_id={id}&kind=repair", RegistryApp.Stop)).GetProperty("jobs").EnumerateArray(),
    ];

    private Task<RegistryDb> OpenDatabaseAsync() => _app.Services.GetRequiredService<IDbContextFactory<RegistryDb>>()
        .CreateDbContextAsync(RegistryApp.Stop);

    private async Task<ImageLocation> LocationAsync(string id, string store)
    {
        await using var db = await OpenDatabaseAsync();
        return await db.Locations.AsNoTracking().SingleAsync(
            l => l.ImageId == id && l.StoreId == store, RegistryApp.Stop);
    }

    private string DataOf(string id, string store, bool orNone = false)
    {
        var directory = Path.Combine(_directory.File(store), id);
        return orNone && !Directory.Exists(directory)
            ? directory
            : Directory.GetFiles(directory, "data", SearchOption.AllDirectories).Single();
    }

    private void Flip(string id, string store)
    {
        using var file = new FileStream(DataOf(id, store), FileMode.Open);
        file.Position = Length / 2;
        var value = file.ReadByte();
        file.Position = Length / 2;
        file.WriteByte((byte)(value ^ 4));
    }
}
