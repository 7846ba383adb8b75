using System.Text;
using Registry.Api.Images;

namespace Registry.Api.Tests.Limits;

/// <summary>JSON and patches that were made to hurt (spec/reliability.md, N7 and N8) are refused at once.</summary>
public sealed class BodyLimitTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    public static TheoryData<string, int> Creates => new()
    {
        { new string('[', 10_000), 400 },
        { """{"a":""" + Repeat("""{"a":""", 10_000) + "1" + new string('}', 10_001), 400 },
        { $$"""{"name":"{{new string('x', 5 << 20)}}"}""", 413 },
        { """{"name":"a","name":"b"}""", 400 },
        { "{" + Repeat("\"a\":\"b\",", 100_000) + "\"c\":\"d\"}", 400 },
        { """{"min_disk":1e400}""", 400 },
        { """{"min_disk":-1}""", 400 },
        { """{"min_disk":1.5}""", 400 },
        { """{"min_disk":99999999999999999999}""", 400 },
        { """{"name":"\ud800"}""", 400 },
        { """{"\ud800":"x"}""", 400 },
        { """{"name":"a\u0000b"}""", 400 },
        { """{"name":"a"} {"name":"b"}""", 400 },
        { """{"name":NaN}""", 400 },
        { "[]", 400 },
        { "null", 400 },
        { "", 400 },
    };

    public static TheoryData<string, int> Patches => new()
    {
        { Patch("""{"op":"replace","path":"/name","value":"x"}""", 257), 413 },
        { Patch("""{"op":"add","path":"/tags/-","value":"x"}""", 100), 400 },
        { Patch("""{"op":"copy","from":"/name","path":"/x"}""", 1), 400 },
        { Patch("""{"op":"test","path":"/name","value":"x"}""", 1), 400 },
        { Patch("""{"op":"add","path":"/a~2b","value":"x"}""", 1), 400 },
        { Patch("""{"op":"add","path":"/a~1b/c","value":"x"}""", 1), 400 },
        { Patch("""{"op":"add","path":"/x","value":1e400}""", 1), 400 },
        { Patch("""{"op":"add","op":"remove","path":"/x","value":"x"}""", 1), 400 },
        { Patch("""{"op":"add","path":"/__proto__","value":{"x":"y"}}""", 1), 400 },
        { Patch("""{"op":"add","path":"/x","value":"x"}""", 100_000), 413 },
    };

    [Theory]
    [MemberData(nameof(Creates))]
    public async Task A_body_that_is_no_image_is_refused(string body, int status)
    {
        Assert.Equal(status, await StatusAsync(HttpMethod.Post, "/v2/images", body, "application/json"));
    }

    [Theory]
    [InlineData(new byte[] { 0xC3, 0x28 })]
    [InlineData(new byte[] { 0xED, 0xA0, 0x80 })]
    [InlineData(new byte[] { 0xC0, 0x80 })]
    [InlineData(new byte[] { 0xFF })]
    public async Task Bytes_that_are_no_utf8_are_refused(byte[] bytes)
    {
        using var content = new ByteArrayContent([.. "{\"name\":\""u8, .. bytes, .. "\"}"u8]);
        content.Headers.ContentType = new("application/json");
        using var response = await app.Http.PostAsync("/v2/images", content, RegistryApp.Stop);
        Assert.Equal(400, (int)response.StatusCode);
    }

    [Theory]
    [MemberData(nameof(Patches))]
    public async Task A_patch_that_is_none_is_refused_and_changes_nothing(string patch, int status)
    {
        var id = await app.CreateAsync(name: "before");
        Assert.Equal(status, await StatusAsync(HttpMethod.Patch, $"/v2/images/{id}", patch, ImagePatch.MediaType21));
        Assert.Equal("before", (await app.ShowAsync(id)).GetProperty("name").GetString());
    }

    [Fact]
    public async Task What_an_active_image_is_cannot_be_changed()
    {
        var id = await app.UploadAsync(Encoding.ASCII.GetBytes("these and no others"));
        var before = (await app.ShowAsync(id)).GetRawText();
        using (var again = await app.PutAsync(id, [1, 2, 3]))
        {
            Assert.Equal(409, (int)again.StatusCode);
        }

        foreach (var name in ImageAttributes.ReadOnly.Append("locations").Append("os_glance_x").Append("deleted"))
        {
            foreach (var op in new[] { "add", "replace" })
            {
                var value = name switch
                {
                    "size" or "virtual_size" => "1",
                    "locations" => "[]",
                    _ => "\"x\"",
                };
                var path = name == "locations" && op == "add" ? "locations/-" : name;
                using var answer = await app.PatchAsync(
                    id, $$"""[{"op":"{{op}}","path":"/{{path}}","value":{{value}}}]""");
                Assert.Equal((op, name, 403), (op, name, (int)answer.StatusCode));
            }
        }

        Assert.Equal(before, (await app.ShowAsync(id)).GetRawText());
        using (var deleted = await app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}"))
        {
            Assert.Equal(204, (int)deleted.StatusCode);
        }

        using var taken = await app.SendAsync(HttpMethod.Post, "/v2/images", $$"""{"id":"{{id}}"}""");
        Assert.Equal(409, (int)taken.StatusCode);
    }

    // Whoever is refused for the length alone is told before it sends.
    private async Task<int> StatusAsync(HttpMethod method, string path, string body, string mediaType)
    {
        using var request = new HttpRequestMessage(method, path);
        request.Content = new StringContent(body, Encoding.UTF8);
        request.Content.Headers.ContentType = new(mediaType);
        request.Headers.ExpectContinue = body.Length > 1 << 20;
        using var response = await app.Http.SendAsync(request, RegistryApp.Stop);
        return (int)response.StatusCode;
    }

    private static string Patch(string operation, int count) =>
        "[" + string.Join(',', Enumerable.Repeat(operation, count)) + "]";

    private static string Repeat(string text, int count) => string.Concat(Enumerable.Repeat(text, count));
}
