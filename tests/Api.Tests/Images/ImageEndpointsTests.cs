using System.Text.Json;

namespace Registry.Api.Tests.Images;

public sealed class ImageEndpointsTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    [Fact]
    public async Task A_new_image_is_queued_with_the_defaults_of_the_api()
    {
        using var response = await app.SendAsync(
            HttpMethod.Post, "/v2/images", """{"name":"n","colour":"red","tags":["a","a"]}""");
        Assert.Equal(201, (int)response.StatusCode);
        var image = await RegistryApp.JsonAsync(response);
        var id = image.GetProperty("id").GetString();
        Assert.Equal($"{app.Url}v2/images/{id}", response.Headers.Location!.ToString());
        Assert.Equal("queued", image.GetProperty("status").GetString());
        Assert.Equal("shared", image.GetProperty("visibility").GetString());
        Assert.Equal("default", image.GetProperty("owner").GetString());
        Assert.Equal("red", image.GetProperty("colour").GetString());
        Assert.Equal(["a"], image.GetProperty("tags").EnumerateArray().Select(t => t.GetString()));
        Assert.False(image.GetProperty("protected").GetBoolean());
        Assert.False(image.GetProperty("os_hidden").GetBoolean());
        foreach (var empty in new[]
        {
            "disk_format", "container_format", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value",
        })
        {
            Assert.Equal(JsonValueKind.Null, image.GetProperty(empty).ValueKind);
        }

        Assert.Equal($"/v2/images/{id}", image.GetProperty("self").GetString());
        Assert.Equal($"/v2/images/{id}/file", image.GetProperty("file").GetString());
        Assert.Equal("/v2/schemas/image", image.GetProperty("schema").GetString());
        Assert.Matches("^[0-9-]{10}T[0-9:]{8}Z$", image.GetProperty("created_at").GetString());
        Assert.StartsWith(
            "req-", Assert.Single(response.Headers.GetValues("X-Openstack-Request-ID")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"status":"active"}""", 403)]
    [InlineData("""{"size":1}""", 403)]
    [InlineData("""{"self":"x"}""", 403)]
    [InlineData("""{"stores":"x"}""", 403)]
    [InlineData("""{"locations":[]}""", 403)]
    [InlineData("""{"deleted":"x"}""", 403)]
    [InlineData("""{"os_glance_x":"x"}""", 403)]
    [InlineData("""{"deleted":true}""", 400)]
    [InlineData("""{"os_hash_algo":"sha512"}""", 201)]
    [InlineData("""{"min_disk":-1}""", 400)]
    [InlineData("""{"min_ram":2147483648}""", 400)]
    [InlineData("""{"min_ram":"1"}""", 400)]
    [InlineData("""{"disk_format":"floppy"}""", 400)]
    [InlineData("""{"visibility":"everyone"}""", 400)]
    [InlineData("""{"id":"not-a-uuid"}""", 400)]
    [InlineData("""{"colour":1}""", 400)]
    [InlineData("""{"kernel_id":"x"}""", 400)]
    [InlineData("""{"kernel_id":null}""", 201)]
    [InlineData("""{"name":"\ud83d\ude00"}""", 400)]
    [InlineData("""{"name":"a","name":"b"}""", 400)]
    [InlineData("""{"name":"\ud800"}""", 400)]
    [InlineData("""{"\ud800":"x"}""", 400)]
    [InlineData("""{"tags":["\ud800"]}""", 400)]
    [InlineData("""{"name":"a\u0000b"}""", 400)]
    [InlineData("""{"tags":["a\u0000b"]}""", 400)]
    [InlineData("""{"":"x"}""", 400)]
    [InlineData("""{"id":"0x111111-1111-1111-1111-111111111111"}""", 400)]
    [InlineData("""{"id":" 11111111-1111-1111-1111-11111111111"}""", 400)]
    [InlineData("""[]""", 400)]
    [InlineData("""{""", 400)]
    [InlineData("", 400)]
    public async Task Creating_answers_with(string body, int status)
    {
        using var response = await app.SendAsync(HttpMethod.Post, "/v2/images", body);
        Assert.Equal(status, (int)response.StatusCode);
    }

    [Fact]
    public async Task An_id_is_kept_verbatim_and_is_never_used_twice()
    {
        const string id = "AAAAbbbb-0000-4000-8000-00000000000F";
        using (var created = await app.SendAsync(HttpMethod.Post, "/v2/images", $$"""{"id":"{{id}}"}"""))
        {
            Assert.Equal(id, (await RegistryApp.JsonAsync(created)).GetProperty("id").GetString());
        }

        using (var lower = await app.SendAsync(HttpMethod.Get, $"/v2/images/{id.ToLowerInvariant()}"))
        {
            Assert.Equal(404, (int)lower.StatusCode);
        }

        using (var again = await app.SendAsync(HttpMethod.Post, "/v2/images", $$"""{"id":"{{id}}"}"""))
        {
            Assert.Equal(409, (int)again.StatusCode);
        }

        using (var deleted = await app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}"))
        {
            Assert.Equal(204, (int)deleted.StatusCode);
        }

        using var buried = await app.SendAsync(HttpMethod.Post, "/v2/images", $$"""{"id":"{{id}}"}""");
        Assert.Equal(409, (int)buried.StatusCode);
    }

    [Fact]
    public async Task A_deleted_image_is_gone_with_its_bytes_and_a_protected_one_stays()
    {
        var id = await app.UploadAsync([1, 2, 3]);
        using (var shielded = await app.PatchAsync(id, """[{"op":"replace","path":"/protected","value":true}]"""))
        {
            Assert.Equal(200, (int)shielded.StatusCode);
        }

        using (var refused = await app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}"))
        {
            Assert.Equal(403, (int)refused.StatusCode);
        }

        using (var opened = await app.PatchAsync(id, """[{"op":"replace","path":"/protected","value":false}]"""))
        {
            Assert.Equal(200, (int)opened.StatusCode);
        }

        using (var deleted = await app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}"))
        {
            Assert.Equal(204, (int)deleted.StatusCode);
        }

        using var gone = await app.SendAsync(HttpMethod.Get, $"/v2/images/{id}");
        Assert.Equal(404, (int)gone.StatusCode);
        Assert.DoesNotContain(await app.StoredFilesAsync(), file => file.Contains(id, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Deactivating_and_reactivating_are_idempotent_and_need_bytes()
    {
        var queued = await app.CreateAsync();
        using (var refused = await app.SendAsync(HttpMethod.Post, $"/v2/images/{queued}/actions/deactivate"))
        {
            Assert.Equal(403, (int)refused.StatusCode);
        }

        var id = await app.UploadAsync([1]);
        foreach (var (action, status) in new[]
        {
            ("deactivate", "deactivated"), ("deactivate", "deactivated"), ("reactivate", "active"),
            ("reactivate", "active"),
        })
        {
            using var response = await app.SendAsync(HttpMethod.Post, $"/v2/images/{id}/actions/{action}");
            Assert.Equal(204, (int)response.StatusCode);
            Assert.Equal(status, (await app.ShowAsync(id)).GetProperty("status").GetString());
        }
    }

    [Fact]
    public async Task A_tag_is_added_once_and_removed_once()
    {
        var id = await app.CreateAsync();
        foreach (var (method, status) in new[]
        {
            (HttpMethod.Put, 204), (HttpMethod.Put, 204), (HttpMethod.Delete, 204), (HttpMethod.Delete, 404),
        })
        {
            using var response = await app.SendAsync(method, $"/v2/images/{id}/tags/b%20c");
            Assert.Equal(status, (int)response.StatusCode);
        }
    }

    [Fact]
    public async Task A_tag_with_an_encoded_slash_has_no_address()
    {
        var id = await app.CreateAsync();
        using var response = await app.SendAsync(HttpMethod.Put, $"/v2/images/{id}/tags/a%2Fb");
        Assert.Equal(404, (int)response.StatusCode);
    }

    [Fact]
    public async Task A_property_value_has_a_limit()
    {
        using var response = await app.SendAsync(
            HttpMethod.Post, "/v2/images", "{\"p\":\"" + new string('x', 65536) + "\"}");
        Assert.Equal(400, (int)response.StatusCode);
    }

    [Fact]
    public async Task Concurrent_changes_are_all_kept()
    {
        var id = await app.CreateAsync();
        await Task.WhenAll(Enumerable.Range(0, 20).Select(async n =>
        {
            using var response = await app.PatchAsync(id, $$"""[{"op":"add","path":"/p{{n}}","value":"v"}]""");
            Assert.Equal(200, (int)response.StatusCode);
        }));
        var image = await app.ShowAsync(id);
        Assert.All(Enumerable.Range(0, 20), n => Assert.Equal("v", image.GetProperty($"p{n}").GetString()));
    }
}
