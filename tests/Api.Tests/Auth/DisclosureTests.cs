using System.Text;

namespace Registry.Api.Tests.Auth;

/// <summary>An image that a caller may not see answers like one that is not there, in everything that can be
/// seen.</summary>
public sealed class DisclosureTests : IAsyncLifetime
{
    private static readonly HashSet<string> DifferEachTime =
        new(StringComparer.OrdinalIgnoreCase) { "Date", "x-openstack-request-id" };

    private readonly MatrixLab _lab = new();

    public async ValueTask InitializeAsync() => await _lab.StartAsync();

    public ValueTask DisposeAsync() => _lab.DisposeAsync();

    [Theory]
    [InlineData("GET", "")]
    [InlineData("PATCH", "", """[{"op":"replace","path":"/name","value":"x"}]""")]
    [InlineData("PATCH", "", """[{"op":"replace","path":"/status","value":"x"}]""", 403)] // before the image is looked for
    [InlineData("DELETE", "")]
    [InlineData("GET", "/file")]
    [InlineData("PUT", "/file", "content")]
    [InlineData("PUT", "/stage", "content")]
    [InlineData("GET", "/members")]
    [InlineData("POST", "/members", """{"member":"x"}""")]
    [InlineData("PUT", "/members/member-project", """{"status":"accepted"}""")]
    [InlineData("PUT", "/tags/t")]
    [InlineData("POST", "/import", MatrixRequests.Import)]
    [InlineData("GET", "/tasks")]
    public async Task Another_projects_image_and_none_are_the_same(
        string method, string path, string? body = null, int status = 404)
    {
        var theirs = await _lab.MakeAsync("private", withData: true);
        var none = Guid.NewGuid().ToString("D");
        Assert.Equal(
            await AnswerAsync(method, none, path, body, status), await AnswerAsync(method, theirs, path, body, status));
    }

    private async Task<string> AnswerAsync(string method, string id, string path, string? body, int status)
    {
        using var response = await _lab.SendAsync("other", new HttpMethod(method), $"/v2/images/{id}{path}", body);
        Assert.Equal(status, (int)response.StatusCode);
        var answer = new StringBuilder();
        foreach (var (name, values) in response.Headers.Concat(response.Content.Headers)
            .Where(header => !DifferEachTime.Contains(header.Key)).OrderBy(header => header.Key))
        {
            answer.Append(name).Append(": ").AppendJoin(',', values).Append('\n');
        }

        return answer.Append(await response.Content.ReadAsStringAsync(RegistryApp.Stop)).ToString()
            .Replace(id, "ID", StringComparison.Ordinal);
    }
}
