using System.Security.Cryptography;

namespace Registry.Api.Tests.ImageData;

/// <content>Downloads that are many and slow.</content>
public abstract partial class UploadContract
{
    [Fact]
    public async Task Many_who_read_slowly_at_once_all_get_the_right_bytes()
    {
        const int Readers = 60; // more than get long pieces
        var content = RandomNumberGenerator.GetBytes((3 * Mebibyte) + 12345);
        var id = await app.UploadAsync(content);
        var (begun, allHaveBegun) = (0, new TaskCompletionSource());
        await Task.WhenAll(Enumerable.Range(0, Readers).Select(async reader =>
        {
            var start = reader * 40_001;
            using var request = new HttpRequestMessage(HttpMethod.Get, $"/v2/images/{id}/file");
            request.Headers.Range = new(start, content.Length - 1);
            using var response = await app.Http.SendAsync(
                request, HttpCompletionOption.ResponseHeadersRead, RegistryApp.Stop);
            await using var body = await response.Content.ReadAsStreamAsync(RegistryApp.Stop);
            var read = new byte[content.Length - start];
            await body.ReadExactlyAsync(read.AsMemory(0, 1), RegistryApp.Stop);
            if (Interlocked.Increment(ref begun) == Readers)
            {
                allHaveBegun.SetResult();
            }

            await allHaveBegun.Task.WaitAsync(RegistryApp.Stop);
            await body.ReadExactlyAsync(read.AsMemory(1), RegistryApp.Stop);
            Assert.True(content.AsSpan(start).SequenceEqual(read));
        }));
    }
}
