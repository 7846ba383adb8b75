using System.Net.Http.Json;
using System.Text.Json;
using Grpc.Core;
using Registry.Protos.V1;
using Registry.Support;

namespace Registry.Api.Tests.Jobs;

/// <summary>Jobs through HTTP and gRPC, on a registry with two directory stores.</summary>
public sealed class JobTests : IAsyncLifetime
{
    private readonly TempDirectory _directory = new();
    private readonly RegistryApp _app;

    public JobTests() => _app = new RegistryApp
    {
        Settings =
        {
            ["Registry:Stores:0:Id"] = "one",
            ["Registry:Stores:0:Kind"] = "directory",
            ["Registry:Stores:0:Path"] = _directory.File("one"),
            ["Registry:Stores:1:Id"] = "two",
            ["Registry:Stores:1:Kind"] = "directory",
            ["Registry:Stores:1:Path"] = _directory.File("two"),
            ["Registry:Jobs:Poll"] = "00:00:00.05",
        },
    };

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task An_image_is_copied_to_another_store_once_however_often_it_is_asked_for()
    {
        var id = await _app.UploadAsync(Bytes(3_000_000));
        var asked = await PostAsync($"/registry/v1/images/{id}/copies", """{"store":"two"}""", 202);
        var job = await EndAsync(asked.GetProperty("id").GetString()!);
        Assert.Equal("succeeded", job.GetProperty("status").GetString());
        Assert.Equal(3_000_000, job.GetProperty("result").GetProperty("bytes").GetInt64());
        Assert.Equal(
            await File.ReadAllBytesAsync(Data("one", id), RegistryApp.Stop),
            await File.ReadAllBytesAsync(Data("two", id), RegistryApp.Stop));

        var again = await PostAsync($"/registry/v1/images/{id}/copies", """{"store":"two"}""", 202);
        Assert.Equal(
            "succeeded",
            (await EndAsync(again.GetProperty("id").GetString()!)).GetProperty("status").GetString());
        var listed = await _app.Http.GetFromJsonAsync<JsonElement>(
            $"/registry/v1/jobs?image_id={id}&kind=copy", RegistryApp.Stop);
        Assert.Equal(2, listed.GetProperty("jobs").GetArrayLength());

        using var deleted = await _app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}");
        Assert.Equal(204, (int)deleted.StatusCode);
        Assert.False(File.Exists(Data("one", id)) || File.Exists(Data("two", id)));
    }

    [Fact]
    public async Task What_makes_no_sense_is_refused_with_a_reason()
    {
        var id = await _app.CreateAsync();
        await PostAsync($"/registry/v1/images/{id}/copies", """{"store":"two"}""", 409);
        await PostAsync($"/registry/v1/images/{id}/copies", """{"store":"three"}""", 400);
        await PostAsync($"/registry/v1/images/{id}/copies", "[]", 400);
        await PostAsync($"/registry/v1/images/{Guid.NewGuid()}/copies", """{"store":"two"}""", 404);
        await PostAsync("/registry/v1/scrubs", """{"store":"three"}""", 400);
        await PostAsync("/registry/v1/scrubs", """{"apply":"yes"}""", 400);
        foreach (var query in new[] { "status=odd", "limit=0", "limit=x", "marker=x" })
        {
            using var response = await _app.SendAsync(HttpMethod.Get, $"/registry/v1/jobs?{query}");
            Assert.Equal(400, (int)response.StatusCode);
        }

        using var missing = await _app.SendAsync(HttpMethod.Get, $"/registry/v1/jobs/{Guid.NewGuid()}");
        Assert.Equal(404, (int)missing.StatusCode);
        using var odd = await _app.SendAsync(HttpMethod.Get, "/registry/v1/jobs/odd");
        Assert.Equal(404, (int)odd.StatusCode);
    }

    [Fact]
    public async Task A_scrub_finds_a_flipped_byte_and_the_download_of_it_does_not_end_well()
    {
        var jobs = new Protos.V1.Jobs.JobsClient(_app.Grpc);
        var damaged = await _app.UploadAsync(Bytes(1_000_000));
        await _app.UploadAsync(Bytes(500_000));
        Assert.Empty((await ScrubAsync(jobs)).GetProperty("findings").EnumerateArray());

        Flip(Data("one", damaged));
        var finding = Assert.Single((await ScrubAsync(jobs)).GetProperty("findings").EnumerateArray());
        Assert.Equal(
            ("damaged", damaged, "one"),
            (finding.GetProperty("problem").GetString(), finding.GetProperty("imageId").GetString(),
                finding.GetProperty("storeId").GetString()));
        await Assert.ThrowsAnyAsync<HttpRequestException>(
            () => _app.Http.GetByteArrayAsync($"/v2/images/{damaged}/file", RegistryApp.Stop));

        Flip(Data("one", damaged));
        Assert.Empty((await ScrubAsync(jobs)).GetProperty("findings").EnumerateArray());
        Assert.Equal(1_000_000, (await _app.Http.GetByteArrayAsync($"/v2/images/{damaged}/file", RegistryApp.Stop)).Length);
    }

    [Fact]
    public async Task The_registrys_own_jobs_are_always_there_and_cannot_be_cancelled()
    {
        var jobs = new Protos.V1.Jobs.JobsClient(_app.Grpc);
        ListJobsResponse listed;
        do
        {
            listed = await jobs.ListAsync(new ListJobsRequest { Kind = "reap" }, cancellationToken: RegistryApp.Stop);
            await Task.Delay(20, RegistryApp.Stop);
        }
        while (listed.Jobs.Count < 2);

        var refused = await Assert.ThrowsAsync<RpcException>(async () => await jobs.CancelAsync(
            new GetJobRequest { Id = listed.Jobs[0].Id }, cancellationToken: RegistryApp.Stop));
        Assert.Equal(StatusCode.PermissionDenied, refused.StatusCode);
    }

    private static byte[] Bytes(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }

    private static void Flip(string path)
    {
        using var file = new FileStream(path, FileMode.Open);
        file.Position = 400_000;
        var value = file.ReadByte();
        file.Position = 400_000;
        file.WriteByte((byte)(value ^ 16));
    }

    private static async Task<JsonElement> ScrubAsync(Protos.V1.Jobs.JobsClient jobs)
    {
        var asked = await jobs.ScrubAsync(new ScrubStoresRequest(), cancellationToken: RegistryApp.Stop);
        Job? last = null;
        using var watch = jobs.Watch(new GetJobRequest { Id = asked.Id }, cancellationToken: RegistryApp.Stop);
        await foreach (var job in watch.ResponseStream.ReadAllAsync(RegistryApp.Stop))
        {
            last = job;
        }

        Assert.Equal("succeeded", last!.Status);
        return JsonDocument.Parse(last.Result).RootElement;
    }

    private string Data(string store, string imageId) =>
        Path.Combine(_directory.File(store), imageId, store == "one" ? "1" : "2", "data"); // the copy comes second

    private async Task<JsonElement> PostAsync(string path, string body, int status)
    {
        using var response = await _app.SendAsync(HttpMethod.Post, path, body);
        Assert.Equal(status, (int)response.StatusCode);
        return await RegistryApp.JsonAsync(response);
    }

    private async Task<JsonElement> EndAsync(string id)
    {
        while (true)
        {
            var job = await _app.Http.GetFromJsonAsync<JsonElement>($"/registry/v1/jobs/{id}", RegistryApp.Stop);
            if (job.GetProperty("ended_at").ValueKind == JsonValueKind.String)
            {
                return job;
            }

            await Task.Delay(20, RegistryApp.Stop);
        }
    }
}
