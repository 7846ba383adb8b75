using System.Text.Json;
using Grpc.Core;
using Registry.Protos.V1;
using Registry.Support;

namespace Registry.Api.Tests.Images;

/// <summary>All properties of an image together have so many bytes, whichever way they come in.</summary>
public sealed class PropertyBytesTests : IAsyncLifetime
{
    private const int MaxBytes = 10_000;
    private const string Value = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    private readonly TempDirectory _directory = new();
    private readonly RegistryApp _app;

    public PropertyBytesTests() => _app = new RegistryApp
    {
        Settings =
        {
            ["Registry:Limits:PropertyBytes"] = $"{MaxBytes}",
            ["Registry:Limits:Properties"] = "-1",
            ["Registry:Jobs:Poll"] = "00:00:00.05",
            ["Registry:Import:Inject:injected"] = new string('i', MaxBytes / 2),
            ["Registry:Import:InjectIgnoreRoles"] = "",
        },
    };

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task A_new_image_may_have_so_many_bytes_and_no_more()
    {
        var id = await _app.CreateAsync(extra: $",\"k\":\"{new string('x', MaxBytes - 1)}\"");
        Assert.Equal(MaxBytes - 1, (await _app.ShowAsync(id)).GetProperty("k").GetString()!.Length);
        using var refused = await _app.SendAsync(
            HttpMethod.Post, "/v2/images", $$"""{"name":"n","k":"{{new string('x', MaxBytes)}}"}""");
        await RequireRefusedAsync(refused);
        using var wide = await _app.SendAsync(
            HttpMethod.Post, "/v2/images", $$"""{"name":"n","k":"{{new string('ä', MaxBytes / 2)}}"}""");
        await RequireRefusedAsync(wide);
    }

    [Fact]
    public async Task Patches_that_add_one_by_one_are_refused_when_there_are_enough()
    {
        var id = await _app.CreateAsync();
        var added = 0;
        while (true)
        {
            using var response = await _app.PatchAsync(
                id, $$"""[{"op":"add","path":"/k{{added}}","value":"{{Value}}"}]""");
            if ((int)response.StatusCode != 200)
            {
                await RequireRefusedAsync(response);
                break;
            }

            added++;
        }

        Assert.InRange(added, (MaxBytes / 110) - 1, MaxBytes / 100);
        using var replaced = await _app.PatchAsync(
            id, $$"""[{"op":"replace","path":"/k0","value":"{{Value}}{{Value}}"}]""");
        await RequireRefusedAsync(replaced);

        // What makes them fewer, and what leaves them alone, is taken.
        using var fewer = await _app.PatchAsync(id, """[{"op":"replace","path":"/k0","value":"short"}]""");
        Assert.Equal(200, (int)fewer.StatusCode);
        using var other = await _app.PatchAsync(id, """[{"op":"replace","path":"/name","value":"another"}]""");
        Assert.Equal(200, (int)other.StatusCode);
    }

    [Fact]
    public async Task Grpc_is_refused_alike()
    {
        var client = new Protos.V1.Images.ImagesClient(_app.Grpc);
        var id = await _app.CreateAsync(extra: $",\"k\":\"{new string('x', MaxBytes / 2)}\"");
        var update = new UpdateImageRequest { Id = id };
        update.SetProperties.Add("more", new string('y', MaxBytes / 2));
        var refused = await Assert.ThrowsAsync<RpcException>(
            async () => await client.UpdateAsync(update, cancellationToken: RegistryApp.Stop));
        Assert.Equal(StatusCode.ResourceExhausted, refused.StatusCode);
        Assert.False((await _app.ShowAsync(id)).TryGetProperty("more", out _));
        var create = new CreateImageRequest { Name = "n" };
        create.Properties.Add("k", new string('x', MaxBytes));
        Assert.Equal(
            StatusCode.ResourceExhausted,
            (await Assert.ThrowsAsync<RpcException>(
                async () => await client.CreateAsync(create, cancellationToken: RegistryApp.Stop))).StatusCode);
    }

    [Theory]
    [InlineData(0, "active")]
    [InlineData(MaxBytes * 3 / 4, "queued")]
    public async Task What_an_import_injects_counts(int before, string status)
    {
        var id = await _app.CreateAsync(extra: before == 0 ? "" : $",\"k\":\"{new string('x', before)}\"");
        using (var body = new ByteArrayContent(new byte[100]))
        {
            body.Headers.ContentType = new("application/octet-stream");
            using var staged = await _app.Http.PutAsync($"/v2/images/{id}/stage", body, RegistryApp.Stop);
            Assert.Equal(204, (int)staged.StatusCode);
        }

        using (var asked = await _app.SendAsync(
            HttpMethod.Post, $"/v2/images/{id}/import", """{"method":{"name":"glance-direct"}}"""))
        {
            Assert.Equal(202, (int)asked.StatusCode);
        }

        var task = await Import.ImportTask.EndAsync(_app.Http, id);
        Assert.Equal(status == "active" ? "success" : "failure", task.GetProperty("status").GetString());
        var image = await _app.ShowAsync(id);
        Assert.Equal(status, image.GetProperty("status").GetString());
        Assert.Equal(status == "active", image.TryGetProperty("injected", out _));
    }

    private static async Task RequireRefusedAsync(HttpResponseMessage response)
    {
        Assert.Equal(413, (int)response.StatusCode);
        Assert.Equal("properties_too_large", response.Headers.GetValues("X-Registry-Reason").Single());
        Assert.Contains($"the maximum is {MaxBytes}", (await RegistryApp.JsonAsync(response)).GetProperty("message").GetString());
    }
}
