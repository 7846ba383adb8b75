using System.Text.Json;

namespace Registry.Api.Tests.Metadefs;

/// <summary>Properties, objects, tags and resource types of a namespace.</summary>
public sealed class PartTests(RegistryApp app) : IClassFixture<RegistryApp>, IAsyncLifetime
{
    private readonly string _base = $"/v2/metadefs/namespaces/NS::{Guid.NewGuid():N}";

    public async ValueTask InitializeAsync() => Assert.Equal(201, await StatusAsync(
        HttpMethod.Post, "/v2/metadefs/namespaces",
        $$"""{"namespace":"{{_base.Split('/')[^1]}}","resource_type_associations":[{"name":"T","prefix":"hw_"},{"name":"U"}]}"""));

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    [Fact]
    public async Task A_property_is_added_shown_replaced_and_removed()
    {
        const string Bus = """{"name":"bus","title":"Bus","type":"string","enum":["a"],"default":"a","readonly":false}""";
        var added = await SendAsync(HttpMethod.Post, "/properties", Bus, 201);
        Assert.Equal(Bus.Length, added.GetRawText().Length);
        Assert.Equal(409, await StatusAsync(HttpMethod.Post, _base + "/properties", Bus));
        var all = await SendAsync(HttpMethod.Get, "/properties");
        Assert.Equal("Bus", all.GetProperty("properties").GetProperty("bus").GetProperty("title").GetString());

        var prefixed = await SendAsync(HttpMethod.Get, "/properties/hw_bus?resource_type=T");
        Assert.Equal("bus", prefixed.GetProperty("name").GetString());
        foreach (var query in new[] { "bus?resource_type=T", "hw_bus?resource_type=U", "hw_bus?resource_type=V", "hw_bus" })
        {
            Assert.Equal(404, await StatusAsync(HttpMethod.Get, $"{_base}/properties/{query}"));
        }

        await SendAsync(HttpMethod.Post, "/properties", """{"name":"other","title":"O","type":"object"}""", 201);
        Assert.Equal(409, await StatusAsync(
            HttpMethod.Put, _base + "/properties/bus", """{"name":"other","title":"O","type":"object"}"""));
        var replaced = await SendAsync(
            HttpMethod.Put, "/properties/bus", """{"name":"disk_bus","title":"Disk bus","type":"string"}""");
        Assert.False(replaced.TryGetProperty("enum", out _));
        Assert.Equal(404, await StatusAsync(HttpMethod.Get, _base + "/properties/bus"));
        Assert.Equal(204, await StatusAsync(HttpMethod.Delete, _base + "/properties/disk_bus"));
        Assert.Equal(404, await StatusAsync(HttpMethod.Delete, _base + "/properties/disk_bus"));
        Assert.Equal(204, await StatusAsync(HttpMethod.Delete, _base + "/properties"));
        Assert.Empty((await SendAsync(HttpMethod.Get, "/properties")).GetProperty("properties").EnumerateObject());
    }

    [Theory]
    [InlineData("properties", """{"title":"P","type":"string"}""", 400)]
    [InlineData("properties", """{"name":"p","type":"string"}""", 400)]
    [InlineData("properties", """{"name":"p","title":"P","type":null}""", 400)]
    [InlineData("properties", """{"name":"p","title":"P","type":"string","maxLength":"7"}""", 400)]
    [InlineData("properties", """{"name":"p","title":"P","type":"array","items":{"kind":"x"}}""", 400)]
    [InlineData("properties", """{"name":"p","title":"P","type":"string","created_at":""}""", 403)]
    [InlineData("objects", """{"name":7}""", 400)]
    [InlineData("objects", """{"name":"o","required":["a","a"]}""", 400)]
    [InlineData("objects", """{"name":"o","self":""}""", 403)]
    [InlineData("tags", """{"tags":[{"name":"a","x":1}]}""", 400)]
    [InlineData("tags", """{"tags":[{"name":"a"},{"name":"A"}]}""", 409)]
    [InlineData("tags", """{"tags":[],"created_at":""}""", 403)]
    [InlineData("resource_types", """{"prefix":"x"}""", 400)]
    [InlineData("resource_types", """{"name":"x","updated_at":""}""", 403)]
    [InlineData("resource_types", """{"name":"T"}""", 409)]
    public async Task A_malformed_part_is_refused(string collection, string body, int status) =>
        Assert.Equal(status, await StatusAsync(HttpMethod.Post, $"{_base}/{collection}", body));

    [Fact]
    public async Task Objects_are_added_paged_replaced_and_removed()
    {
        foreach (var name in new[] { "a", "b", "c" })
        {
            var added = await SendAsync(
                HttpMethod.Post, "/objects",
                $$$"""{"name":"{{{name}}}","properties":{"p":{"title":"P","type":"number","minimum":0.5} } }""", 201);
            Assert.Equal($"{_base}/objects/{name}", added.GetProperty("self").GetString());
            Assert.Equal("/v2/schemas/metadefs/object", added.GetProperty("schema").GetString());
        }

        var first = await SendAsync(HttpMethod.Get, "/objects?limit=2&sort_key=name&sort_dir=asc");
        Assert.Equal(["a", "b"], Names(first, "objects"));
        var next = first.GetProperty("next").GetString()!;
        Assert.StartsWith(_base, next, StringComparison.Ordinal);
        var second = await SendAsync(HttpMethod.Get, next[_base.Length..]);
        Assert.Equal(["c"], Names(second, "objects"));
        Assert.False(second.TryGetProperty("next", out _));
        Assert.Equal(400, await StatusAsync(HttpMethod.Get, _base + "/objects?limit=0"));
        Assert.Equal(409, await StatusAsync(HttpMethod.Post, _base + "/objects", """{"name":"a"}"""));
        Assert.Equal(409, await StatusAsync(HttpMethod.Put, _base + "/objects/a", """{"name":"b"}"""));
        var replaced = await SendAsync(HttpMethod.Put, "/objects/a", """{"name":"z","description":"d","required":["p"]}""");
        Assert.Equal("p", replaced.GetProperty("required")[0].GetString());
        Assert.Equal("d", (await SendAsync(HttpMethod.Get, "/objects/z")).GetProperty("description").GetString());
        Assert.Equal(404, await StatusAsync(HttpMethod.Get, _base + "/objects/a"));
        Assert.Equal(204, await StatusAsync(HttpMethod.Delete, _base + "/objects/z"));
        Assert.Equal(204, await StatusAsync(HttpMethod.Delete, _base + "/objects"));
        Assert.Empty(Names(await SendAsync(HttpMethod.Get, "/objects"), "objects"));
    }

    [Fact]
    public async Task Tags_have_no_case_and_are_replaced_or_appended()
    {
        var added = await SendAsync(HttpMethod.Post, "/tags/Red", status: 201);
        Assert.Equal("Red", added.GetProperty("name").GetString());
        Assert.Equal(409, await StatusAsync(HttpMethod.Post, _base + "/tags/red"));
        Assert.Equal(400, await StatusAsync(HttpMethod.Post, _base + "/tags/" + new string('x', 81)));
        Assert.Equal("Red", (await SendAsync(HttpMethod.Get, "/tags/RED")).GetProperty("name").GetString());
        Assert.Equal(
            ["b", "a"],
            Names(await SendAsync(HttpMethod.Post, "/tags", """{"tags":[{"name":"b"},{"name":"a"}]}""", 201), "tags"));
        Assert.Equal(404, await StatusAsync(HttpMethod.Get, _base + "/tags/red"));

        using var request = new HttpRequestMessage(HttpMethod.Post, _base + "/tags")
        {
            Content = new StringContent("""{"tags":[{"name":"c"}]}""", null, "application/json"),
        };
        request.Headers.Add("X-Openstack-Append", "True");
        using (var appended = await app.Http.SendAsync(request, RegistryApp.Stop))
        {
            Assert.Equal(201, (int)appended.StatusCode);
        }

        Assert.Equal(["a", "b", "c"], Names(await SendAsync(HttpMethod.Get, "/tags?sort_key=name&sort_dir=asc"), "tags"));
        Assert.Equal(["b"], Names(
            await SendAsync(HttpMethod.Get, "/tags?sort_key=name&sort_dir=asc&marker=a&limit=1"), "tags"));
        Assert.Equal(409, await StatusAsync(HttpMethod.Put, _base + "/tags/a", """{"name":"B"}"""));
        Assert.Equal("A", (await SendAsync(HttpMethod.Put, "/tags/a", """{"name":"A"}""")).GetProperty("name").GetString());
        Assert.Equal("z", (await SendAsync(HttpMethod.Put, "/tags/b", """{"name":"z"}""")).GetProperty("name").GetString());
        Assert.Equal(204, await StatusAsync(HttpMethod.Delete, _base + "/tags/Z"));
        Assert.Equal(204, await StatusAsync(HttpMethod.Delete, _base + "/tags"));
        Assert.Empty(Names(await SendAsync(HttpMethod.Get, "/tags"), "tags"));
    }

    [Fact]
    public async Task Resource_types_come_and_go_and_are_remembered()
    {
        var type = $"type-{Guid.NewGuid():N}";
        var added = await SendAsync(
            HttpMethod.Post, "/resource_types", $$"""{"name":"{{type}}","prefix":"x:","properties_target":"image"}""", 201);
        Assert.Equal("x:", added.GetProperty("prefix").GetString());
        Assert.Contains(type, Names(await SendAsync(HttpMethod.Get, "/resource_types"), "resource_type_associations"));
        Assert.Equal(204, await StatusAsync(HttpMethod.Delete, $"{_base}/resource_types/{type}"));
        Assert.Equal(404, await StatusAsync(HttpMethod.Delete, $"{_base}/resource_types/{type}"));
        Assert.Equal(
            ["T", "U"], Names(await SendAsync(HttpMethod.Get, "/resource_types"), "resource_type_associations"));
        using var all = await app.SendAsync(HttpMethod.Get, "/v2/metadefs/resource_types");
        Assert.Contains(type, Names(await RegistryApp.JsonAsync(all), "resource_types"));
    }

    [Theory]
    [InlineData("PATCH", "")]
    [InlineData("PUT", "/properties")]
    [InlineData("POST", "/objects/o")]
    [InlineData("PUT", "/tags")]
    [InlineData("GET", "/resource_types/T")]
    public async Task Other_methods_are_not_allowed(string method, string path) =>
        Assert.Equal(405, await StatusAsync(new HttpMethod(method), _base + path));

    private static IEnumerable<string> Names(JsonElement list, string property) =>
        list.GetProperty(property).EnumerateArray().Select(n => n.GetProperty("name").GetString()!);

    private async Task<int> StatusAsync(HttpMethod method, string path, string? body = null)
    {
        using var response = await app.SendAsync(method, path, body);
        return (int)response.StatusCode;
    }

    private async Task<JsonElement> SendAsync(HttpMethod method, string path, string? body = null, int status = 200)
    {
        using var response = await app.SendAsync(method, _base + path, body);
        Assert.Equal(status, (int)response.StatusCode);
        return await RegistryApp.JsonAsync(response);
    }
}
