using Microsoft.Extensions.Options;
using Registry.Api.ImageData;
using Registry.Storage.Domain;

namespace Registry.Api.Tests.Usage;

/// <summary>What a project uses, and how much it may use at once.</summary>
public sealed class UsageTests
{
    [Fact]
    public async Task A_project_sees_what_it_uses_where_something_is_limited()
    {
        var app = new RegistryApp { Settings = { ["Registry:Limits:ProjectBytes"] = $"{100 << 20}" } };
        await app.InitializeAsync();
        try
        {
            await app.UploadAsync(new byte[(3 << 20) + 1]);
            await app.CreateAsync();
            var staged = await app.CreateAsync();
            using (var stage = await StageAsync(app, staged, new byte[2 << 20]))
            {
                Assert.Equal(204, (int)stage.StatusCode);
            }

            using var response = await app.SendAsync(HttpMethod.Get, "/v2/info/usage");
            Assert.Equal(
                """
                {"usage":{
                "image_size_total":{"usage":3,"limit":100},
                "image_stage_total":{"usage":2,"limit":100},
                "image_count_total":{"usage":3,"limit":-1},
                "image_count_uploading":{"usage":1,"limit":-1}
                }}
                """.ReplaceLineEndings(""),
                await response.Content.ReadAsStringAsync(RegistryApp.Stop));
        }
        finally
        {
            await app.DisposeAsync();
        }
    }

    [Fact]
    public async Task There_is_nothing_to_tell_where_nothing_is_limited()
    {
        var app = new RegistryApp();
        await app.InitializeAsync();
        try
        {
            using var response = await app.SendAsync(HttpMethod.Get, "/v2/info/usage");
            Assert.Equal("""{"usage":{}}""", await response.Content.ReadAsStringAsync(RegistryApp.Stop));
        }
        finally
        {
            await app.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_project_has_so_many_uploads_at_once_and_others_have_theirs()
    {
        var slots = Slots("keystone", max: 3, perProject: 2);
        using var first = await slots.TakeAsync("a", RegistryApp.Stop);
        var second = await slots.TakeAsync("a", RegistryApp.Stop);
        Assert.Equal((ErrorCode.Busy, "project_busy"), await RefusalAsync(slots, "a"));
        using (await slots.TakeAsync("b", RegistryApp.Stop))
        {
            Assert.Equal((ErrorCode.Busy, null), await RefusalAsync(slots, "c"));
        }

        second.Dispose();
        using var third = await slots.TakeAsync("a", RegistryApp.Stop);
        using var fourth = await slots.TakeAsync("c", RegistryApp.Stop);
    }

    [Fact]
    public async Task Where_all_are_one_project_it_has_all_there_are()
    {
        var slots = Slots("none", max: 3, perProject: 1);
        using var first = await slots.TakeAsync("a", RegistryApp.Stop);
        using var second = await slots.TakeAsync("a", RegistryApp.Stop);
        using var third = await slots.TakeAsync("a", RegistryApp.Stop);
        await RefusalAsync(slots, "a");
    }

    [Fact]
    public async Task An_upload_beyond_the_maximum_waits_and_as_many_may_wait_as_there_are_places()
    {
        var slots = Slots("keystone", max: 4, perProject: 1, wait: TimeSpan.FromMinutes(1));
        var first = await slots.TakeAsync("a", RegistryApp.Stop);
        var waiting = Enumerable.Range(0, 4).Select(_ => slots.TakeAsync("a", RegistryApp.Stop).AsTask()).ToList();
        Assert.Equal((ErrorCode.Busy, "project_busy"), await RefusalAsync(slots, "a"));
        (await slots.TakeAsync("b", RegistryApp.Stop)).Dispose();
        Assert.DoesNotContain(waiting, task => task.IsCompleted);
        first.Dispose();
        foreach (var next in waiting)
        {
            (await next).Dispose();
        }
    }

    private static async Task<(ErrorCode Code, string? Reason)> RefusalAsync(UploadSlots slots, string project)
    {
        var refused = await Assert.ThrowsAsync<RegistryException>(
            () => slots.TakeAsync(project, RegistryApp.Stop).AsTask());
        return (refused.Code, refused.Reason);
    }

    private static UploadSlots Slots(string auth, int max, int perProject, TimeSpan wait = default) => new(
        Options.Create(new RegistryOptions
        {
            Auth = new() { Kind = auth },
            Uploads = new() { ConcurrentMax = max, ConcurrentMaxPerProject = perProject, Wait = wait },
        }),
        TimeProvider.System);

    private static async Task<HttpResponseMessage> StageAsync(RegistryApp app, string id, byte[] content)
    {
        using var body = new ByteArrayContent(content);
        body.Headers.ContentType = new("application/octet-stream");
        return await app.Http.PutAsync($"/v2/images/{id}/stage", body, RegistryApp.Stop);
    }
}
