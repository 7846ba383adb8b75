using System.Text.Json;
using Grpc.Core;
using Microsoft.Extensions.Options;
using Registry.Api.Schemas;
using Registry.Protos.V1;
using Registry.Support;

namespace Registry.Api.Tests.Schemas;

/// <summary>Custom properties that the operator describes and requires (spec/glance-v2.md, 3.1).</summary>
public sealed class CustomPropertiesTests : IDisposable
{
    private const string File =
        """
        {"properties":{"os_type":{"type":"string","enum":["linux","windows"],"is_base":true},
          "ticket":{"type":"string","pattern":"^[A-Z]+-[0-9]+$","description":"The ticket."},
          "note":{"type":"string","minLength":2,"maxLength":4}},
         "required":["os_type"]}
        """;

    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task What_is_required_must_be_there_and_what_is_described_must_be_so()
    {
        await using var app = new RegistryApp { Settings = { ["Registry:ImageSchema:File"] = Write(File) } };
        await app.InitializeAsync();
        Assert.Contains("is a required property", await CreateAsync(app, "{}", 400), StringComparison.Ordinal);
        await CreateAsync(app, """{"os_type":"bsd"}""", 400);
        await CreateAsync(app, """{"os_type":"linux","ticket":"x"}""", 400);
        await CreateAsync(app, """{"os_type":"linux","note":"x"}""", 400);
        await CreateAsync(app, """{"os_type":"linux","note":"12345"}""", 400);
        var created = await CreateAsync(
            app, """{"os_type":"linux","ticket":"A-1","note":"1234","free":"text","os_distro":"any"}""", 201);
        var id = JsonDocument.Parse(created).RootElement.GetProperty("id").GetString()!;
        foreach (var (patch, status) in new[]
        {
            ("""[{"op":"replace","path":"/os_type","value":"bsd"}]""", 400),
            ("""[{"op":"add","path":"/ticket","value":"a-1"}]""", 400),
            ("""[{"op":"replace","path":"/os_type","value":"windows"}]""", 200),
        })
        {
            using var patched = await app.PatchAsync(id, patch);
            Assert.Equal(status, (int)patched.StatusCode);
        }

        var refused = await Assert.ThrowsAsync<RpcException>(async () => await new Protos.V1.Images.ImagesClient(app.Grpc)
            .CreateAsync(new CreateImageRequest(), cancellationToken: RegistryApp.Stop));
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);

        using var response = await app.SendAsync(HttpMethod.Get, "/v2/schemas/image");
        var schema = await RegistryApp.JsonAsync(response);
        Assert.Equal("""["os_type"]""", schema.GetProperty("required").GetRawText());
        Assert.False(schema.GetProperty("properties").GetProperty("os_type").GetProperty("is_base").GetBoolean());
        Assert.True(schema.GetProperty("properties").TryGetProperty("name", out _));
        Assert.Equal(
            """["type","description"]""",
            JsonSerializer.Serialize(
                schema.GetProperty("properties").GetProperty("min_disk").EnumerateObject().Select(member => member.Name)));
        Assert.Equal(
            """["os_hash_algo","os_hash_value"]""",
            schema.GetProperty("properties").GetProperty("locations").GetProperty("items").GetProperty("properties")
                .GetProperty("validation_data").GetProperty("required").GetRawText());
        Assert.False(schema.GetProperty("properties").TryGetProperty("kernel_id", out _));
    }

    [Fact]
    public async Task Without_a_file_the_schema_is_Glances()
    {
        await using var app = new RegistryApp();
        await app.InitializeAsync();
        await CreateAsync(app, """{"cinder_encryption_key_deletion_policy":"never"}""", 400);
        await CreateAsync(app, """{"cinder_encryption_key_deletion_policy":"do_not_delete","kernel_id":null}""", 201);
        using var response = await app.SendAsync(HttpMethod.Get, "/v2/schemas/images");
        var image = (await RegistryApp.JsonAsync(response)).GetProperty("properties").GetProperty("images")
            .GetProperty("items");
        Assert.False(image.TryGetProperty("required", out _));
        var custom = image.GetProperty("properties").EnumerateObject()
            .Where(p => p.Value.TryGetProperty("is_base", out var isBase) && !isBase.GetBoolean()).Select(p => p.Name);
        Assert.Equal(
            [
                "kernel_id", "ramdisk_id", "instance_uuid", "architecture", "os_distro", "os_version", "description",
                "cinder_encryption_key_id", "cinder_encryption_key_deletion_policy",
            ],
            custom);
    }

    [Theory]
    [InlineData("""{"a":{"type":"string"},"required":{"type":"string"}}""", "a,required")]
    [InlineData("""{"properties":{"a":{}}}""", "a")]
    [InlineData("""{}""", "")]
    public void Both_forms_of_the_file_are_read(string text, string names)
    {
        var properties = new System.Text.Json.Nodes.JsonObject();
        Read(text).Describe(properties);
        Assert.Equal(names, string.Join(',', properties.Select(p => p.Key)));
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("""{"a":5}""")]
    [InlineData("""{"name":{"type":"string"}}""")]
    [InlineData("""{"os_glance_x":{"type":"string"}}""")]
    [InlineData("""{"a":{"type":"integer"}}""")]
    [InlineData("""{"a":{"type":["string","null"]}}""")]
    [InlineData("""{"a":{"pattern":"("}}""")]
    [InlineData("""{"a":{"pattern":"(a)\\1"}}""")]
    [InlineData("""{"a":{"maxLength":-1}}""")]
    [InlineData("""{"a":{"enum":"x"}}""")]
    [InlineData("""{"a":{"format":"uri"}}""")]
    [InlineData("""{"a":{},"a":{}}""")]
    [InlineData("""{"properties":{"a":{}},"required":["b"]}""")]
    [InlineData("""{"properties":{"a":{}},"required":[1]}""")]
    public void A_file_that_cannot_be_used_stops_the_start(string text) =>
        Assert.Contains(
            "Registry:ImageSchema:File", Assert.Throws<ConfigurationException>(() => Read(text)).Message,
            StringComparison.Ordinal);

    private CustomProperties Read(string text) =>
        new(Options.Create(new RegistryOptions { ImageSchema = new() { File = Write(text) } }));

    private string Write(string text)
    {
        var path = _directory.File("schema-image.json");
        System.IO.File.WriteAllText(path, text);
        return path;
    }

    private static async Task<string> CreateAsync(RegistryApp app, string body, int status)
    {
        using var response = await app.SendAsync(HttpMethod.Post, "/v2/images", body);
        var text = await response.Content.ReadAsStringAsync(RegistryApp.Stop);
        Assert.True(status == (int)response.StatusCode, $"{(int)response.StatusCode}: {text}");
        return text;
    }
}
