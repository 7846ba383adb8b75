using System.Net.Http.Headers;
using Registry.Engine.Bytes;

namespace Registry.Engine.Tests.Oracle;

/// <summary>A remote file of known length, each read one ranged GET.</summary>
internal sealed class HttpBytes(Uri address, long length) : IByteSource
{
    private readonly HttpClient client = new();

    public long Length => length;

    public async ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var count = (int)Math.Min(buffer.Length, length - offset);
        if (count <= 0)
        {
            return 0;
        }

        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        request.Headers.Range = new RangeHeaderValue(offset, offset + count - 1);
        using var response = await client
            .SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken).ConfigureAwait(false);
        response.EnsureSuccessStatusCode();
        var body = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
        await using (body.ConfigureAwait(false))
        {
            await body.ReadExactlyAsync(buffer[..count], cancellationToken).ConfigureAwait(false);
        }

        return count;
    }

    public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
        new(new ByteRun(length - offset, IsHole: false));

    public ValueTask DisposeAsync()
    {
        client.Dispose();
        return ValueTask.CompletedTask;
    }
}
