using System.Net;
using System.Security.Cryptography;

namespace Registry.Api.Tests.ImageData;

public sealed class ReprDigestTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    private const string Header = "Repr-Digest";

    [Fact]
    public async Task Downloads_and_raw_views_of_raw_images_say_the_digest_of_the_whole()
    {
        var content = new byte[300_032];
        new Random(1).NextBytes(content);
        var id = await app.UploadAsync(content);
        foreach (var (path, range, isKnown) in new[]
        {
            ($"/v2/images/{id}/file", "", true), ($"/v2/images/{id}/file", "bytes=5-99", true),
            ($"/registry/v1/images/{id}/disk", "", true), ($"/registry/v1/images/{id}/disk", "bytes=5-99", true),
            ($"/registry/v1/images/{id}/disk?size=1M", "", false),
            ($"/registry/v1/images/{id}/disk?format=qcow2", "", false),
        })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path);
            request.Headers.TryAddWithoutValidation("Range", range.Length > 0 ? range : null);
            using var response = await app.Http.SendAsync(request, RegistryApp.Stop);
            Assert.True(response.IsSuccessStatusCode);
            Assert.Equal(
                isKnown ? Of(content) : null,
                response.Headers.TryGetValues(Header, out var values) ? Assert.Single(values) : null);
        }
    }

    [Fact]
    public async Task An_upload_of_other_bytes_than_its_digest_says_is_refused_and_leaves_the_image_queued()
    {
        var content = new byte[200_000];
        new Random(2).NextBytes(content);
        var id = await app.CreateAsync();
        var flipped = content.ToArray();
        flipped[150_000] ^= 1;
        Assert.Equal(HttpStatusCode.BadRequest, await PutAsync(id, flipped, Of(content)));
        Assert.Equal("queued", (await app.ShowAsync(id)).GetProperty("status").GetString());
        Assert.Equal(HttpStatusCode.BadRequest, await PutAsync(id, content, "sha-512=:AAAA:"));
        Assert.Equal(HttpStatusCode.NoContent, await PutAsync(id, content, "sha-256=:unread:, " + Of(content)));
        Assert.Equal(content, await app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
    }

    private static string Of(byte[] content) => $"sha-512=:{Convert.ToBase64String(SHA512.HashData(content))}:";

    private async Task<HttpStatusCode> PutAsync(string id, byte[] content, string digest)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, $"/v2/images/{id}/file")
        {
            Content = new ByteArrayContent(content),
        };
        request.Content.Headers.ContentType = new("application/octet-stream");
        request.Headers.TryAddWithoutValidation(Header, digest);
        using var response = await app.Http.SendAsync(request, RegistryApp.Stop);
        return response.StatusCode;
    }
}
