using Registry.Api.Images;

namespace Registry.Api.Tests.Images;

/// <summary>Both patch dialects against the table of spec/glance-v2.md, section 4.</summary>
public sealed class ImagePatchTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    [Theory]
    [InlineData("""[]""", 200)]
    [InlineData("""[{"op":"replace","path":"/name","value":"x"}]""", 200)]
    [InlineData("""[{"op":"add","path":"/name","value":"x"}]""", 200)]
    [InlineData("""[{"op":"replace","path":"/name","value":7}]""", 400)]
    [InlineData("""[{"op":"remove","path":"/name"}]""", 403)]
    [InlineData("""[{"op":"add","path":"/known","value":"y"}]""", 200)]
    [InlineData("""[{"op":"replace","path":"/known","value":"y"}]""", 200)]
    [InlineData("""[{"op":"remove","path":"/known"}]""", 200)]
    [InlineData("""[{"op":"replace","path":"/unknown","value":"y"}]""", 409)]
    [InlineData("""[{"op":"remove","path":"/unknown"}]""", 409)]
    [InlineData("""[{"op":"add","path":"/new","value":"y"}]""", 200)]
    [InlineData("""[{"op":"add","path":"/new","value":1}]""", 400)]
    [InlineData("""[{"op":"replace","path":"/status","value":"active"}]""", 403)]
    [InlineData("""[{"op":"replace","path":"/id","value":"x"}]""", 403)]
    [InlineData("""[{"op":"replace","path":"/os_hash_value","value":"x"}]""", 403)]
    [InlineData("""[{"op":"add","path":"/os_glance_x","value":"x"}]""", 403)]
    [InlineData("""[{"op":"add","path":"/deleted","value":"x"}]""", 403)]
    [InlineData("""[{"op":"add","path":"/locations/-","value":{"url":"file:///etc/passwd","metadata":{}}}]""", 403)]
    [InlineData("""[{"op":"replace","path":"/tags","value":["a","b"]}]""", 200)]
    [InlineData("""[{"op":"add","path":"/tags/-","value":"a"}]""", 400)]
    [InlineData("""[{"op":"add","path":"/a/b","value":"a"}]""", 400)]
    [InlineData("""[{"op":"replace","path":"/","value":"a"}]""", 409)]
    [InlineData("""[{"op":"add","path":"/a~1b","value":"a"}]""", 200)]
    [InlineData("""[{"op":"add","path":"/a~2b","value":"a"}]""", 400)]
    [InlineData("""[{"op":"add","path":"/a/","value":"a"}]""", 400)]
    [InlineData("""[{"op":"add","path":"a","value":"a"}]""", 400)]
    [InlineData("""[{"op":"test","path":"/name","value":"a"}]""", 400)]
    [InlineData("""[{"op":"move","from":"/name","path":"/b"}]""", 400)]
    [InlineData("""[{"op":"add","path":"/a"}]""", 400)]
    [InlineData("""[{"path":"/a","value":"a"}]""", 400)]
    [InlineData("""["a"]""", 400)]
    [InlineData("""{"op":"add","path":"/a","value":"a"}""", 400)]
    [InlineData("""[{"op":"replace","path":"/min_disk","value":-1}]""", 400)]
    [InlineData("""[{"op":"replace","path":"/visibility","value":"public"}]""", 200)]
    [InlineData("""[{"op":"replace","path":"/disk_format","value":"qcow2"}]""", 200)]
    public async Task Version_2_1_answers_with(string patch, int status) =>
        await CheckAsync(patch, ImagePatch.MediaType21, status);

    [Theory]
    [InlineData("""[{"replace":"/name","value":"x"}]""", 200)]
    [InlineData("""[{"add":"/name","value":"x"}]""", 409)]
    [InlineData("""[{"add":"/known","value":"x"}]""", 409)]
    [InlineData("""[{"add":"/new","value":"x"}]""", 200)]
    [InlineData("""[{"remove":"/known"}]""", 200)]
    [InlineData("""[{"remove":"/known","add":"/new","value":"x"}]""", 400)]
    [InlineData("""[{"op":"add","path":"/new","value":"x"}]""", 400)]
    public async Task Version_2_0_answers_with(string patch, int status) =>
        await CheckAsync(patch, ImagePatch.MediaType20, status);

    [Fact]
    public async Task Another_media_type_is_refused_and_told_which_are_known()
    {
        var id = await app.CreateAsync();
        using var response = await app.SendAsync(
            HttpMethod.Patch, $"/v2/images/{id}", "[]", "application/json-patch+json");
        Assert.Equal(415, (int)response.StatusCode);
        Assert.Contains(
            ImagePatch.MediaType21,
            Assert.Single(response.Headers.GetValues("Accept-Patch")),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_patch_applies_whole_or_not_at_all()
    {
        var id = await app.CreateAsync(name: "before");
        using var response = await app.PatchAsync(
            id, """[{"op":"replace","path":"/name","value":"after"},{"op":"remove","path":"/unknown"}]""");
        Assert.Equal(409, (int)response.StatusCode);
        Assert.Equal("before", (await app.ShowAsync(id)).GetProperty("name").GetString());
    }

    [Fact]
    public async Task Formats_are_fixed_once_there_are_bytes()
    {
        var id = await app.UploadAsync([1]);
        using var response = await app.PatchAsync(id, """[{"op":"replace","path":"/disk_format","value":"qcow2"}]""");
        Assert.Equal(403, (int)response.StatusCode);
    }

    [Fact]
    public async Task Too_many_operations_or_properties_are_refused()
    {
        var id = await app.CreateAsync();
        using (var operations = await app.PatchAsync(
            id, $"[{string.Join(',', Enumerable.Repeat("""{"op":"add","path":"/a","value":"a"}""", 257))}]"))
        {
            Assert.Equal(413, (int)operations.StatusCode);
        }

        using var properties = await app.PatchAsync(
            id,
            "[" + string.Join(',', Enumerable.Range(0, 129).Select(
                n => $$"""{"op":"add","path":"/p{{n}}","value":"a"}""")) + "]");
        Assert.Equal(413, (int)properties.StatusCode);
    }

    private async Task CheckAsync(string patch, string mediaType, int status)
    {
        var id = await app.CreateAsync(extra: ""","known":"v" """);
        using var response = await app.SendAsync(HttpMethod.Patch, $"/v2/images/{id}", patch, mediaType);
        Assert.Equal(status, (int)response.StatusCode);
    }
}
