using Registry.Api.Images;
using Registry.Support;

namespace Registry.Api.Tests.Limits;

/// <summary>JSON and patches that were made to hurt (spec/reliability.md, N7 and N8) are refused at once.</summary>
public sealed class BodyLimitTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    public static TheoryData<string> Bombs => [.. JsonBomb.All.Select(bomb => bomb.Name)];

    [Theory]
    [MemberData(nameof(Bombs))]
    public async Task A_body_that_hurts_is_refused_and_changes_nothing(string name)
    {
        var bomb = JsonBomb.All.Single(one => one.Name == name);
        var id = await app.CreateAsync(name: "before");
        using var request = new HttpRequestMessage(
            bomb.IsPatch ? HttpMethod.Patch : HttpMethod.Post, bomb.IsPatch ? $"/v2/images/{id}" : "/v2/images");
        request.Content = new ByteArrayContent(bomb.Body);
        request.Content.Headers.ContentType = new(bomb.IsPatch ? ImagePatch.MediaType21 : "application/json");

        // Whoever is refused for the length alone is told before it sends.
        request.Headers.ExpectContinue = bomb.Body.Length > 1 << 20;
        using var response = await app.Http.SendAsync(request, RegistryApp.Stop);
        Assert.Equal(bomb.Status, (int)response.StatusCode);
        Assert.Equal("before", (await app.ShowAsync(id)).GetProperty("name").GetString());
    }
}
