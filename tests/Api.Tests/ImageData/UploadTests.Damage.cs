using System.Buffers.Binary;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace Registry.Api.Tests.ImageData;

/// <content>Bytes that the store has damaged.</content>
public abstract partial class UploadContract
{
    [Theory]
    [InlineData(100)]
    [InlineData(200000)]
    public async Task Damage_found_before_the_first_byte_is_an_error_with_its_own_body(int length)
    {
        var id = await app.UploadAsync(RandomNumberGenerator.GetBytes(length));
        await app.FlipByteAsync(id, length / 2);
        using var response = await app.SendAsync(HttpMethod.Get, $"/v2/images/{id}/file");
        Assert.Equal(500, (int)response.StatusCode);
        Assert.Equal("data_corrupt", Assert.Single(response.Headers.GetValues("X-Registry-Reason")));
        Assert.Equal("data_corrupt", (await RegistryApp.JsonAsync(response)).GetProperty("reason").GetString());
        Assert.False(response.Content.Headers.Contains("Content-MD5"));
        Assert.False(response.Headers.Contains("Repr-Digest"));
        await UntilMetricsShowAsync("registry_store_corrupt");
    }

    [Fact]
    public async Task A_byte_flipped_in_the_store_never_reaches_a_client_as_whole_and_marks_the_image()
    {
        var content = RandomNumberGenerator.GetBytes(3 * Mebibyte);
        var id = await app.UploadAsync(content);
        await app.FlipByteAsync(id, 2 * Mebibyte);
        await Assert.ThrowsAnyAsync<HttpRequestException>(
            () => app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
        Assert.Equal([true], await app.DamagesAsync(id));
        Assert.Contains((await app.ShowAsync(id)).GetProperty("damaged").GetString(), new[] { "default", "s3" });
    }
}
