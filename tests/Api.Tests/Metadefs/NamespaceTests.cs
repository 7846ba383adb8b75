using System.Text.Json;

namespace Registry.Api.Tests.Metadefs;

public sealed class NamespaceTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    private const string Namespaces = "/v2/metadefs/namespaces";

    [Fact]
    public async Task A_namespace_is_made_shown_replaced_renamed_and_deleted()
    {
        var name = NewName();
        using (var made = await app.SendAsync(HttpMethod.Post, Namespaces, $$"""
            {
              "namespace": "{{name}}", "display_name": "D", "description": "d", "visibility": "public",
              "resource_type_associations": [{"name": "OS::Nova::Flavor", "prefix": "hw:"}, {"name": "plain"}],
              "properties": {"p": {"title": "P", "type": "string", "enum": ["a", "b"], "operators": ["<or>"]} },
              "objects": [{"name": "o", "required": ["x"], "properties": {"x": {"title": "X", "type": "integer"} } }],
              "tags": [{"name": "t"}]
            }
            """))
        {
            Assert.Equal(201, (int)made.StatusCode);
            Assert.Equal(new Uri(app.Url, $"{Namespaces}/{name}"), made.Headers.Location);
        }

        var shown = await ShowAsync($"{Namespaces}/{name}");
        Assert.Equal("public", shown.GetProperty("visibility").GetString());
        Assert.False(shown.GetProperty("protected").GetBoolean());
        Assert.False(string.IsNullOrEmpty(shown.GetProperty("owner").GetString()));
        Assert.Equal($"{Namespaces}/{name}", shown.GetProperty("self").GetString());
        Assert.Equal("/v2/schemas/metadefs/namespace", shown.GetProperty("schema").GetString());
        Assert.Equal("b", shown.GetProperty("properties").GetProperty("p").GetProperty("enum")[1].GetString());
        Assert.Equal($"{Namespaces}/{name}/objects/o", shown.GetProperty("objects")[0].GetProperty("self").GetString());
        Assert.Equal("t", shown.GetProperty("tags")[0].GetProperty("name").GetString());

        var prefixed = await ShowAsync($"{Namespaces}/{name}?resource_type=OS::Nova::Flavor");
        Assert.True(prefixed.GetProperty("properties").TryGetProperty("hw:p", out _));
        Assert.Equal("hw:x", prefixed.GetProperty("objects")[0].GetProperty("required")[0].GetString());
        Assert.True(prefixed.GetProperty("objects")[0].GetProperty("properties").TryGetProperty("hw:x", out _));
        Assert.True((await ShowAsync($"{Namespaces}/{name}?resource_type=plain"))
            .GetProperty("properties").TryGetProperty("p", out _));

        var renamed = NewName();
        using (var replaced = await app.SendAsync(
            HttpMethod.Put, $"{Namespaces}/{name}", $$"""{"namespace":"{{renamed}}","protected":true}"""))
        {
            Assert.Equal(200, (int)replaced.StatusCode);
            var answer = await RegistryApp.JsonAsync(replaced);
            Assert.Equal("private", answer.GetProperty("visibility").GetString());
            Assert.False(answer.TryGetProperty("description", out _));
        }

        Assert.Equal(404, await StatusAsync(HttpMethod.Get, $"{Namespaces}/{name}"));
        foreach (var part in new[]
        {
            "", "/objects", "/properties", "/tags", "/objects/o", "/properties/p", "/tags/t", "/resource_types/plain",
        })
        {
            Assert.Equal(403, await StatusAsync(HttpMethod.Delete, $"{Namespaces}/{renamed}{part}"));
        }

        await StatusAsync(HttpMethod.Put, $"{Namespaces}/{renamed}", $$"""{"namespace":"{{renamed}}"}""");
        Assert.Equal(204, await StatusAsync(HttpMethod.Delete, $"{Namespaces}/{renamed}"));
        Assert.Equal(404, await StatusAsync(HttpMethod.Delete, $"{Namespaces}/{renamed}"));
    }

    [Theory]
    [InlineData("""{}""", 400)]
    [InlineData("""[]""", 400)]
    [InlineData("""{"namespace":7}""", 400)]
    [InlineData("""{"namespace":""}""", 400)]
    [InlineData("""{"namespace":"x","colour":"red"}""", 400)]
    [InlineData("""{"namespace":"x","visibility":"shared"}""", 400)]
    [InlineData("""{"namespace":"x","protected":"yes"}""", 400)]
    [InlineData("""{"namespace":"x","display_name":null}""", 400)]
    [InlineData("""{"namespace":"x","tags":[{"name":"a","b":1}]}""", 400)]
    [InlineData("""{"namespace":"x","tags":{}}""", 400)]
    [InlineData("""{"namespace":"x","objects":[{"name":"o","required":[1]}]}""", 400)]
    [InlineData("""{"namespace":"x","objects":[{"name":"o","properties":{"p":{"title":"P"}}}]}""", 400)]
    [InlineData("""{"namespace":"x","properties":{"p":{"title":"P","type":"strange"}}}""", 400)]
    [InlineData("""{"namespace":"x","properties":{"p":{"title":"P","type":"string","minLength":-1}}}""", 400)]
    [InlineData("""{"namespace":"x","properties":{"p":{"title":"P","type":"string","colour":"red"}}}""", 400)]
    [InlineData("""{"namespace":"x","self":"/x"}""", 403)]
    [InlineData("""{"namespace":"x","schema":"/x"}""", 403)]
    [InlineData("""{"namespace":"x","created_at":"2026-01-01T00:00:00Z"}""", 403)]
    [InlineData("""{"namespace":"x","updated_at":"2026-01-01T00:00:00Z"}""", 403)]
    [InlineData("""{"namespace":"x","tags":[{"name":"a"},{"name":"A"}]}""", 409)]
    public async Task A_malformed_namespace_is_refused_and_leaves_nothing(string body, int status)
    {
        Assert.Equal(status, await StatusAsync(HttpMethod.Post, Namespaces, body));
        Assert.Equal(404, await StatusAsync(HttpMethod.Get, $"{Namespaces}/x"));
    }

    [Fact]
    public async Task Names_are_unique_and_bounded_and_may_have_a_slash()
    {
        var name = NewName() + "/a b";
        Assert.Equal(201, await MakeAsync(name));
        Assert.Equal(409, await MakeAsync(name));
        var self = (await ShowAsync($"{Namespaces}/{Uri.EscapeDataString(name)}")).GetProperty("self").GetString()!;
        Assert.Equal(204, await StatusAsync(HttpMethod.Delete, self));
        Assert.Equal(400, await MakeAsync(new string('x', 81)));
        var longest = string.Concat(Enumerable.Repeat("é", 80));
        Assert.Equal(201, await MakeAsync(longest));
        Assert.Equal(204, await StatusAsync(HttpMethod.Delete, $"{Namespaces}/{Uri.EscapeDataString(longest)}"));
    }

    [Fact]
    public async Task A_list_is_filtered_sorted_and_paged()
    {
        var type = NewName();
        string[] names = [.. Enumerable.Range(0, 3).Select(i => $"{NewName()}&{i}").Order(StringComparer.Ordinal)];
        foreach (var name in names)
        {
            Assert.Equal(201, await MakeAsync(name, $$""","resource_type_associations":[{"name":"{{type}}"}]"""));
        }

        var link = $"{Namespaces}?resource_types=other,{type}&limit=2&sort_key=namespace&sort_dir=asc&visibility=private";
        var first = await ShowAsync(link);
        Assert.Equal(names[..2], Names(first));
        Assert.Equal("/v2/schemas/metadefs/namespaces", first.GetProperty("schema").GetString());
        Assert.Equal(names[..2], Names(await ShowAsync(first.GetProperty("first").GetString()!)));
        Assert.False(first.GetProperty("namespaces")[0].TryGetProperty("properties", out _));
        Assert.Equal(
            type,
            first.GetProperty("namespaces")[0].GetProperty("resource_type_associations")[0].GetProperty("name")
                .GetString());
        var second = await ShowAsync(first.GetProperty("next").GetString()!);
        Assert.Equal(names[2..], Names(second));
        Assert.False(second.TryGetProperty("next", out _));
        Assert.Empty(Names(await ShowAsync($"{Namespaces}?resource_types={type}&visibility=public")));
        Assert.Equal(2, Names(await ShowAsync($"{Namespaces}?resource_types={type}&limit=2")).Count());
    }

    [Theory]
    [InlineData("limit=x", 400)]
    [InlineData("limit=-1", 400)]
    [InlineData("limit=0", 200)]
    [InlineData("sort_key=zz", 400)]
    [InlineData("sort_dir=up", 400)]
    [InlineData("visibility=shared", 400)]
    [InlineData("marker=nothing", 404)]
    public async Task A_list_that_makes_no_sense_is_refused(string query, int status) =>
        Assert.Equal(status, await StatusAsync(HttpMethod.Get, $"{Namespaces}?{query}"));

    [Theory]
    [InlineData("namespace", "namespace")]
    [InlineData("namespaces", "namespaces")]
    [InlineData("resource_type", "resource_type_association")]
    [InlineData("resource_types", "resource_type_associations")]
    [InlineData("property", "property")]
    [InlineData("properties", "properties")]
    [InlineData("object", "object")]
    [InlineData("objects", "objects")]
    [InlineData("tag", "tag")]
    [InlineData("tags", "tags")]
    public async Task There_is_a_schema(string path, string name)
    {
        var schema = await ShowAsync($"/v2/schemas/metadefs/{path}");
        Assert.Equal(name, schema.GetProperty("name").GetString());
        Assert.NotEmpty(schema.GetProperty("properties").EnumerateObject());
    }

    [Fact]
    public async Task Tasks_link_to_tasks()
    {
        var first = (await ShowAsync("/v2/tasks?limit=1")).GetProperty("first").GetString();
        Assert.Equal("/v2/tasks?limit=1", first);
    }

    private static string NewName() => $"NS::{Guid.NewGuid():N}";

    private static IEnumerable<string> Names(JsonElement list) =>
        list.GetProperty("namespaces").EnumerateArray().Select(n => n.GetProperty("namespace").GetString()!);

    private Task<int> MakeAsync(string name, string extra = "") =>
        StatusAsync(HttpMethod.Post, Namespaces, $$"""{"namespace":"{{name}}"{{extra}}}""");

    private async Task<int> StatusAsync(HttpMethod method, string path, string? body = null)
    {
        using var response = await app.SendAsync(method, path, body);
        return (int)response.StatusCode;
    }

    private async Task<JsonElement> ShowAsync(string path)
    {
        using var response = await app.SendAsync(HttpMethod.Get, path);
        Assert.Equal(200, (int)response.StatusCode);
        return await RegistryApp.JsonAsync(response);
    }
}
