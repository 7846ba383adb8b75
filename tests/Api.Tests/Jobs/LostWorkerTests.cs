using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Registry.Api.ImageData;
using Registry.Api.Jobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;
using Registry.Support;

namespace Registry.Api.Tests.Jobs;

/// <summary>Jobs whose worker was killed, and whose promises stand for a while yet.</summary>
public sealed class LostWorkerTests : IAsyncLifetime
{
    private static readonly TimeSpan Lease = TimeSpan.FromHours(1);
    private readonly TempDirectory _directory = new();
    private readonly RegistryApp _app;

    public LostWorkerTests() => _app = new RegistryApp
    {
        Settings =
        {
            ["Registry:Stores:0:Id"] = "one",
            ["Registry:Stores:0:Path"] = _directory.File("one"),
            ["Registry:Stores:1:Id"] = "two",
            ["Registry:Stores:1:Path"] = _directory.File("two"),
            ["Registry:Jobs:Workers"] = "0",
        },
    };

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task The_next_attempt_at_a_copy_takes_the_promise_over()
    {
        var id = await _app.UploadAsync(Bytes());
        var run = await LeaseAsync($"/registry/v1/images/{id}/copies", new { store = "two" });
        await _app.Services.GetRequiredService<CopyLedger>().BeginAsync(
            await LocationAsync(id), "two", run.Owner, Lease, RegistryApp.Stop);
        await Handler(run).RunAsync(run, RegistryApp.Stop);
        Assert.Equal("one,two", (await _app.ShowAsync(id)).GetProperty("stores").GetString());
    }

    [Fact]
    public async Task A_copy_of_another_job_is_left_alone()
    {
        var id = await _app.UploadAsync(Bytes());
        var run = await LeaseAsync($"/registry/v1/images/{id}/copies", new { store = "two" });
        await _app.Services.GetRequiredService<CopyLedger>().BeginAsync(
            await LocationAsync(id), "two", ImageUploads.Owner, Lease, RegistryApp.Stop);
        var refused = await Assert.ThrowsAsync<RegistryException>(() => Handler(run).RunAsync(run, RegistryApp.Stop));
        Assert.Equal("copy_under_way", refused.Reason);
    }

    [Fact]
    public async Task The_next_attempt_at_a_new_image_begins_again_at_once()
    {
        var (run, made) = await LeaseCloneAsync();
        Assert.Equal("saving", (await _app.ShowAsync(made)).GetProperty("status").GetString());
        await Handler(run).RunAsync(run, RegistryApp.Stop);
        Assert.Equal("active", (await _app.ShowAsync(made)).GetProperty("status").GetString());
        Assert.Equal(Bytes(), await _app.Http.GetByteArrayAsync($"/v2/images/{made}/file", RegistryApp.Stop));
    }

    [Fact]
    public async Task A_new_image_that_is_given_up_goes_with_what_was_promised_for_it()
    {
        var (run, made) = await LeaseCloneAsync();
        await Handler(run).GiveUpAsync(run.Job, "cancelled", "It was cancelled.");
        using var gone = await _app.SendAsync(HttpMethod.Get, $"/v2/images/{made}");
        Assert.Equal(404, (int)gone.StatusCode);
    }

    [Fact]
    public async Task A_job_that_is_cancelled_while_it_waits_is_given_up_at_once()
    {
        var id = await _app.UploadAsync(Bytes());
        using var asked = await _app.Http.PostAsJsonAsync(
            "/registry/v1/provisions", new { image_id = id, name = "clone", format = "raw" }, RegistryApp.Stop);
        var job = (await RegistryApp.JsonAsync(asked)).GetProperty("id").GetString();
        using var cancelled = await _app.SendAsync(HttpMethod.Post, $"/registry/v1/jobs/{job}/cancel");
        Assert.Equal("cancelled", (await RegistryApp.JsonAsync(cancelled)).GetProperty("status").GetString());
        Assert.Equal(0, await CountAsync("clone"));
    }

    [Fact]
    public async Task A_copy_that_is_cancelled_while_it_waits_is_expected_of_the_image_no_more()
    {
        var id = await _app.UploadAsync(Bytes());
        using var asked = await _app.Http.PostAsJsonAsync(
            $"/v2/images/{id}/import", new { method = new { name = "copy-image" }, all_stores = true }, RegistryApp.Stop);
        Assert.Equal(202, (int)asked.StatusCode);
        Assert.Equal("two", (await _app.ShowAsync(id)).GetProperty("os_glance_importing_to_stores").GetString());
        var listed = await _app.Http.GetFromJsonAsync<JsonElement>("/registry/v1/jobs?kind=import", RegistryApp.Stop);
        var job = listed.GetProperty("jobs")[0].GetProperty("id").GetString();
        using var cancelled = await _app.SendAsync(HttpMethod.Post, $"/registry/v1/jobs/{job}/cancel");
        Assert.Equal("cancelled", (await RegistryApp.JsonAsync(cancelled)).GetProperty("status").GetString());
        var image = await _app.ShowAsync(id);
        Assert.Equal(
            ("", "two"),
            (image.GetProperty("os_glance_importing_to_stores").GetString(), image.GetProperty("os_glance_failed_import").GetString()));
    }

    [Fact]
    public async Task A_job_that_took_each_of_its_workers_along_is_given_up()
    {
        var (run, _) = await LeaseCloneAsync();
        await Queue.ReclaimAsync(RegistryApp.Stop);
        var job = run.Job;
        while (job.Attempt <= job.AttemptsMax)
        {
            await Queue.ReclaimAsync(RegistryApp.Stop);
            job = (await Queue.LeaseAsync(job.Id, $"worker {job.Attempt}", Lease, RegistryApp.Stop))!;
        }

        await _app.Services.GetRequiredService<JobAttempts>().RunAsync(job, RegistryApp.Stop);
        var ended = await _app.Http.GetFromJsonAsync<JsonElement>($"/registry/v1/jobs/{job.Id}", RegistryApp.Stop);
        Assert.Equal(
            ("failed", "attempts_exhausted"),
            (ended.GetProperty("status").GetString(), ended.GetProperty("reason").GetString()));
        Assert.Equal(0, await CountAsync("clone"));
    }

    [Fact]
    public async Task A_job_whose_new_image_is_protected_is_cancelled_all_the_same()
    {
        var (run, made) = await LeaseCloneAsync();
        using var patch = new HttpRequestMessage(HttpMethod.Patch, $"/v2/images/{made}")
        {
            Content = new StringContent(
                """[{"op":"replace","path":"/protected","value":true}]""", null,
                "application/openstack-images-v2.1-json-patch"),
        };
        using var patched = await _app.Http.SendAsync(patch, RegistryApp.Stop);
        Assert.Equal(200, (int)patched.StatusCode);
        await Queue.ReclaimAsync(RegistryApp.Stop);
        using var cancelled = await _app.SendAsync(HttpMethod.Post, $"/registry/v1/jobs/{run.Job.Id}/cancel");
        Assert.Equal("cancelled", (await RegistryApp.JsonAsync(cancelled)).GetProperty("status").GetString());
        Assert.Equal("queued", (await _app.ShowAsync(made)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task A_job_whose_clean_up_always_fails_ends_within_its_attempts_and_a_few_more()
    {
        var handler = new StubbornHandler();
        await Queue.EnqueueAsync(new JobOrder(handler.Kind, "{}") { AttemptsMax = 2 }, RegistryApp.Stop);
        var attempts = ActivatorUtilities.CreateInstance<JobAttempts>(_app.Services, (IEnumerable<IJobHandler>)[handler]);
        for (var attempt = 1; attempt <= 2 + JobAttempts.GiveUpsMax; attempt++)
        {
            Assert.Equal(JobStatus.Pending, await StatusAsync(handler.Kind));
            await attempts.RunAsync(await LeaseAsync(handler.Kind), RegistryApp.Stop);
        }

        Assert.Equal(JobStatus.Failed, await StatusAsync(handler.Kind));
        Assert.Equal((2, 1 + JobAttempts.GiveUpsMax), (handler.Runs, handler.GiveUps));
    }

    [Fact]
    public async Task A_new_image_that_the_last_worker_completed_before_it_went_away_is_no_failure()
    {
        var (run, made) = await LeaseCloneAsync();
        await Handler(run).RunAsync(run, RegistryApp.Stop);
        var job = run.Job;
        while (job.Attempt <= job.AttemptsMax)
        {
            await Queue.ReclaimAsync(RegistryApp.Stop);
            job = (await Queue.LeaseAsync(job.Id, $"worker {job.Attempt}", Lease, RegistryApp.Stop))!;
        }

        await _app.Services.GetRequiredService<JobAttempts>().RunAsync(job, RegistryApp.Stop);
        Assert.Equal(JobStatus.Succeeded, await StatusAsync("provision"));
        Assert.Equal("active", (await _app.ShowAsync(made)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task An_attempt_that_lost_its_job_begins_nothing()
    {
        var id = await _app.UploadAsync(Bytes());
        var copy = await LeaseAsync($"/registry/v1/images/{id}/copies", new { store = "two" });
        await TakeOverAsync(copy);
        var refused = await Assert.ThrowsAsync<RegistryException>(() => Handler(copy).RunAsync(copy, RegistryApp.Stop));
        Assert.Equal(ErrorCode.Fenced, refused.Code);
        Assert.Equal("one", (await _app.ShowAsync(id)).GetProperty("stores").GetString());

        var (clone, made) = await LeaseCloneAsync();
        await TakeOverAsync(clone);
        refused = await Assert.ThrowsAsync<RegistryException>(() => Handler(clone).RunAsync(clone, RegistryApp.Stop));
        Assert.Equal(ErrorCode.Fenced, refused.Code);
        Assert.Equal("queued", (await _app.ShowAsync(made)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task A_status_that_an_earlier_attempt_has_changed_is_tried_again()
    {
        var handler = new StubbornHandler
        {
            Fails = () => new RegistryException(ErrorCode.InvalidStatusTransition, "saving to saving"),
        };
        await Queue.EnqueueAsync(new JobOrder(handler.Kind, "{}"), RegistryApp.Stop);
        var attempts = ActivatorUtilities.CreateInstance<JobAttempts>(_app.Services, (IEnumerable<IJobHandler>)[handler]);
        await attempts.RunAsync(await LeaseAsync(handler.Kind), RegistryApp.Stop);
        Assert.Equal(JobStatus.Pending, await StatusAsync(handler.Kind));
    }

    private JobQueue Queue => _app.Services.GetRequiredService<JobQueue>();

    private async Task TakeOverAsync(JobRun run)
    {
        await Queue.ReclaimAsync(RegistryApp.Stop);
        Assert.NotNull(await Queue.LeaseAsync(run.Job.Id, "the next worker", Lease, RegistryApp.Stop));
    }

    private async Task<JobStatus> StatusAsync(string kind)
    {
        await using var db = await OpenDatabaseAsync();
        return (await db.Jobs.SingleAsync(j => j.Kind == kind, RegistryApp.Stop)).Status;
    }

    private async Task<Job> LeaseAsync(string kind)
    {
        await using (var db = await OpenDatabaseAsync())
        {
            var id = (await db.Jobs.SingleAsync(j => j.Kind == kind, RegistryApp.Stop)).Id;
            return (await Queue.LeaseAsync(id, "worker", Lease, RegistryApp.Stop))!; // due or not
        }
    }

    private Task<RegistryDb> OpenDatabaseAsync() => _app.Services.GetRequiredService<IDbContextFactory<RegistryDb>>()
        .CreateDbContextAsync(RegistryApp.Stop);

    private sealed class StubbornHandler : IJobHandler
    {
        public string Kind => "stubborn";

        public int Runs { get; private set; }

        public int GiveUps { get; private set; }

        public Func<Exception> Fails { get; init; } = () => new InvalidOperationException("odd");

        public Task<string?> RunAsync(JobRun run, CancellationToken cancellationToken)
        {
            Runs++;
            throw Fails();
        }

        public Task GiveUpAsync(Job job, string code, string message)
        {
            GiveUps++;
            throw new RegistryException(ErrorCode.Protected, "It is protected.");
        }
    }

    private async Task<int> CountAsync(string name) =>
        (await _app.Http.GetFromJsonAsync<JsonElement>($"/v2/images?name={name}", RegistryApp.Stop))
            .GetProperty("images").GetArrayLength();

    private static byte[] Bytes()
    {
        var bytes = new byte[1_000_000];
        new Random(7).NextBytes(bytes);
        return bytes[..^(bytes.Length % 512)];
    }

    // A job that makes an image, in the hands of its second worker; the first was killed while it uploaded.
    private async Task<(JobRun Run, string Made)> LeaseCloneAsync()
    {
        var id = await _app.UploadAsync(Bytes());
        var run = await LeaseAsync("/registry/v1/provisions", new { image_id = id, name = "clone", format = "raw" });
        var listed = await _app.Http.GetFromJsonAsync<JsonElement>("/v2/images?name=clone", RegistryApp.Stop);
        var made = listed.GetProperty("images")[0].GetProperty("id").GetString()!;
        await _app.Services.GetRequiredService<UploadLedger>().BeginAsync(
            made, "one", run.Owner, Lease, expectedBytes: null, RegistryApp.Stop);
        return (run, made);
    }

    private async Task<JobRun> LeaseAsync(string path, object order)
    {
        using var asked = await _app.Http.PostAsJsonAsync(path, order, RegistryApp.Stop);
        Assert.Equal(202, (int)asked.StatusCode);
        var job = await _app.Services.GetRequiredService<JobQueue>().LeaseAsync(
            ["copy", "provision"], "worker", Lease, RegistryApp.Stop);
        return new JobRun(job!);
    }

    private IJobHandler Handler(JobRun run) =>
        _app.Services.GetServices<IJobHandler>().Single(handler => handler.Kind == run.Job.Kind);

    private async Task<ImageLocation> LocationAsync(string id)
    {
        await using var db = await _app.Services.GetRequiredService<IDbContextFactory<RegistryDb>>()
            .CreateDbContextAsync(RegistryApp.Stop);
        return (await db.Images.Include(i => i.Locations).SingleAsync(i => i.Id == id, RegistryApp.Stop)).Locations.Single();
    }
}
