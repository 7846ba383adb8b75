using Microsoft.Extensions.DependencyInjection;
using Registry.Api.Nbd;
using Registry.Api.Tests.Nbd;

namespace Registry.Api.Tests.Fairness;

/// <summary>Overlays of one project leave room for those of others, and count against its quota.</summary>
public sealed class OverlayShareTests
{
    private const int Chunk = 64 << 10;
    private const uint NoSpace = 28;

    [Fact]
    public async Task One_projects_overlays_have_half_of_the_room_and_give_it_back()
    {
        await using var app = new ProjectsApp { Settings = { ["Registry:Nbd:OverlaysMaxBytes"] = $"{32 * Chunk}" } };
        await app.InitializeAsync();
        using var greedy = app.As("greedy");
        using var modest = app.As("modest");
        var image = await ProjectsApp.UploadAsync(greedy, new byte[4 << 20]);
        using (var first = await OpenAsync(app, greedy, image))
        using (var second = await OpenAsync(app, greedy, image))
        {
            var (chunks, more) = (await FillAsync(first, 60), await FillAsync(second, 60));
            Assert.InRange(chunks + more, 14, 16);
            using var other = await OpenAsync(app, modest, await ProjectsApp.UploadAsync(modest, new byte[4 << 20]));
            Assert.InRange(await FillAsync(other, 60), 6, 8); // and a quarter is left for a third
        }

        await UntilAsync(() => app.Services.GetRequiredService<NbdOverlayRooms>().BytesTaken == 0);
        using var again = await OpenAsync(app, greedy, image);
        Assert.InRange(await FillAsync(again, 60), 14, 16);
    }

    [Fact]
    public async Task Overlays_and_images_share_the_quota_while_the_overlay_is_there()
    {
        await using var app = new ProjectsApp { Settings = { ["Registry:Limits:ProjectBytes"] = $"{32 * Chunk}" } };
        await app.InitializeAsync();
        using var http = app.As("project");
        var image = await ProjectsApp.UploadAsync(http, new byte[16 * Chunk]);
        using (var overlay = await OpenAsync(app, http, image))
        {
            Assert.InRange(await FillAsync(overlay, 16), 14, 16); // there is room for sixteen
            using var refused = await ProjectsApp.PutAsync(http, await ProjectsApp.CreateAsync(http), new byte[8 * Chunk]);
            Assert.Equal(413, (int)refused.StatusCode);
        }

        await UntilAsync(() => app.Services.GetRequiredService<NbdOverlayRooms>().BytesTaken == 0);
        await ProjectsApp.UploadAsync(http, new byte[8 * Chunk]);
        using var second = await OpenAsync(app, http, image);
        Assert.InRange(await FillAsync(second, 16), 6, 8);
    }

    // How many chunks could be written before there was no space.
    private static async Task<int> FillAsync(NbdWire wire, int chunks)
    {
        for (var i = 0; i < chunks; i++)
        {
            var error = (await wire.RequestAsync(NbdWire.Write, (long)i * Chunk, Chunk, 0, new byte[Chunk])).Error;
            if (error != 0)
            {
                Assert.Equal(NoSpace, error);
                return i;
            }
        }

        return chunks;
    }

    private static async Task<NbdWire> OpenAsync(ProjectsApp app, HttpClient http, string image)
    {
        using var body = new StringContent("""{"overlay":true}""", System.Text.Encoding.UTF8, "application/json");
        using var response = await http.PostAsync($"/registry/v1/images/{image}/nbd", body, RegistryApp.Stop);
        Assert.Equal(201, (int)response.StatusCode);
        return await NbdWire.OpenAsync(
            app.Port, (await RegistryApp.JsonAsync(response)).GetProperty("export").GetString()!);
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        for (var tries = 0; !condition(); tries++)
        {
            Assert.True(tries < 1000, "it did not come to that");
            await Task.Delay(20, RegistryApp.Stop);
        }
    }
}
