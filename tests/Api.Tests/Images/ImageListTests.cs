using System.Text.Json;

namespace Registry.Api.Tests.Images;

public sealed class ImageListTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    [Fact]
    public async Task Pages_follow_their_links_and_repeated_parameters_survive()
    {
        for (var n = 0; n < 7; n++)
        {
            await app.CreateAsync(name: $"page {n}", extra: ""","tags":["x","y"],"set":"pages" """);
        }

        await app.CreateAsync(name: "other", extra: ""","tags":["x"],"set":"pages" """);
        List<string> names = [];
        var next = "/v2/images?limit=3&tag=x&tag=y&set=pages&sort=name:asc";
        var pages = 0;
        while (next is not null)
        {
            var page = await GetAsync(next);
            Assert.Contains("tag=x&tag=y", page.GetProperty("first").GetString(), StringComparison.Ordinal);
            names.AddRange(page.GetProperty("images").EnumerateArray().Select(i => i.GetProperty("name").GetString()!));
            next = page.TryGetProperty("next", out var link) ? link.GetString() : null;
            pages++;
        }

        Assert.Equal(Enumerable.Range(0, 7).Select(n => $"page {n}"), names);
        Assert.Equal(3, pages);
    }

    [Theory]
    [InlineData("name=in:f1,\"f,2\"", 2)]
    [InlineData("name=eq:f1", 1)]
    [InlineData("name=f1", 1)]
    [InlineData("disk_format=in:raw,qcow2", 3)]
    [InlineData("disk_format=qcow2", 1)]
    [InlineData("status=active", 1)]
    [InlineData("status=in:active,queued", 3)]
    [InlineData("size_min=3", 1)]
    [InlineData("size_max=2", 0)]
    [InlineData("size=3", 1)]
    [InlineData("visibility=all", 3)]
    [InlineData("visibility=shared", 3)]
    [InlineData("visibility=public", 0)]
    [InlineData("visibility=private", 0)]
    [InlineData("os_hidden=TRUE", 0)]
    [InlineData("protected=false", 3)]
    [InlineData("owner=default", 3)]
    [InlineData("owner=nobody", 0)]
    [InlineData("created_at=gt:2020-01-01T00:00:00Z", 3)]
    [InlineData("created_at=lt:2020-01-01T00:00:00Z", 0)]
    [InlineData("is_public=true", 3)]
    [InlineData("limit=0", 0)]
    [InlineData("limit=99999999999", 3)]
    [InlineData("limit=2", 2)]
    public async Task A_filter_selects(string query, int count)
    {
        var set = Guid.NewGuid().ToString("N");
        var tag = $",\"set\":\"{set}\"";
        await app.CreateAsync("qcow2", "f1", tag);
        await app.CreateAsync("raw", "f,2", tag);
        var active = await app.CreateAsync("raw", "f3", tag);
        using (var uploaded = await app.PutAsync(active, [1, 2, 3]))
        {
            Assert.Equal(204, (int)uploaded.StatusCode);
        }

        var page = await GetAsync($"/v2/images?set={set}&{query}");
        Assert.Equal(count, page.GetProperty("images").GetArrayLength());
    }

    [Theory]
    [InlineData("limit=-1")]
    [InlineData("limit=x")]
    [InlineData("marker=00000000-0000-4000-8000-000000000000")]
    [InlineData("sort=colour")]
    [InlineData("sort=name:up")]
    [InlineData("sort=name&sort_key=name")]
    [InlineData("sort_key=name&sort_key=id&sort_key=size&sort_dir=asc&sort_dir=desc")]
    [InlineData("visibility=everyone")]
    [InlineData("member_status=maybe")]
    [InlineData("os_hidden=perhaps")]
    [InlineData("protected=True")]
    [InlineData("name=like:x")]
    [InlineData("name=a%00b")]
    [InlineData("name=in:\"x")]
    [InlineData("size_min=x")]
    [InlineData("created_at=gt:yesterday")]
    [InlineData("changes-since=2020-01-01")]
    public async Task A_malformed_query_is_refused(string query)
    {
        using var response = await app.SendAsync(HttpMethod.Get, $"/v2/images?{query}");
        Assert.Equal(400, (int)response.StatusCode);
    }

    [Fact]
    public async Task More_filters_than_a_database_can_nest_are_refused()
    {
        using var letters = await app.SendAsync(HttpMethod.Get, "/v2/images?tags=" + new string('a', 3000));
        Assert.Equal(400, (int)letters.StatusCode);
        using var properties = await app.SendAsync(
            HttpMethod.Get, "/v2/images?" + string.Join('&', Enumerable.Range(0, 65).Select(n => $"p{n}=x")));
        Assert.Equal(400, (int)properties.StatusCode);
        using var most = await app.SendAsync(
            HttpMethod.Get, "/v2/images?" + string.Join('&', Enumerable.Range(0, 64).Select(n => $"p{n}=x")));
        Assert.Equal(200, (int)most.StatusCode);
    }

    private async Task<JsonElement> GetAsync(string path)
    {
        using var response = await app.SendAsync(HttpMethod.Get, path);
        Assert.Equal(200, (int)response.StatusCode);
        return await RegistryApp.JsonAsync(response);
    }
}
