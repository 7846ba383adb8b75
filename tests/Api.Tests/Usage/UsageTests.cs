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
    public void A_project_has_so_many_uploads_at_once_and_others_have_theirs()
    {
        var slots = Slots("keystone", max: 3, perProject: 2);
        using var first = slots.Take("a");
        var second = slots.Take("a");
        var refused = Assert.Throws<RegistryException>(() => slots.Take("a"));
        Assert.Equal((ErrorCode.Busy, "project_busy"), (refused.Code, refused.Reason));
        using (slots.Take("b"))
        {
            Assert.Null(Assert.Throws<RegistryException>(() => slots.Take("c")).Reason);
        }

        second.Dispose();
        using var third = slots.Take("a");
        using var fourth = slots.Take("c");
    }

    [Fact]
    public void Where_all_are_one_project_it_has_all_there_are()
    {
        var slots = Slots("none", max: 3, perProject: 1);
        using var first = slots.Take("a");
        using var second = slots.Take("a");
        using var third = slots.Take("a");
        Assert.Throws<RegistryException>(() => slots.Take("a"));
    }

    private static UploadSlots Slots(string auth, int max, int perProject) => new(Options.Create(new RegistryOptions
    {
        Auth = new() { Kind = auth },
        Uploads = new() { ConcurrentMax = max, ConcurrentMaxPerProject = perProject },
    }));

    private static async Task<HttpResponseMessage> StageAsync(RegistryApp app, string id, byte[] content)
    {
        using var body = new ByteArrayContent(content);
        body.Headers.ContentType = new("application/octet-stream");
        return await app.Http.PutAsync($"/v2/images/{id}/stage", body, RegistryApp.Stop);
    }
}
