using System.Net;
using System.Net.Http.Headers;
using Registry.Storage.Blobs.Remote;

namespace Registry.Storage.Blobs.S3;

/// <summary>Reads an object that was just written and compares it with what was sent.</summary>
internal sealed class S3ReadBack(HttpClient http)
{
    private const int BufferBytes = 64 << 10;

    /// <summary>Reads one object whole.</summary>
    /// <exception cref="DamagedWriteException">The store has other bytes, or more, or fewer.</exception>
    public async Task RequireAsync(Uri address, S3Body body, StoreAttempt attempt)
    {
        if (body.Length == 0)
        {
            return; // has no byte to be another
        }

        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        request.Headers.Range = new RangeHeaderValue(0, body.Length); // one more byte than there may be
        using var response = await http
            .SendAsync(request, HttpCompletionOption.ResponseHeadersRead, attempt.Token).ConfigureAwait(false);
        if (response.StatusCode is not (HttpStatusCode.OK or HttpStatusCode.PartialContent))
        {
            throw new DamagedWriteException();
        }

        var stored = await response.Content.ReadAsStreamAsync(attempt.Token).ConfigureAwait(false);
        await using var disposal = stored.ConfigureAwait(false);
        var buffer = new byte[BufferBytes];
        var compared = 0;
        while (await stored.ReadAsync(buffer, attempt.Token).ConfigureAwait(false) is var read and > 0)
        {
            for (var at = 0; at < read;)
            {
                var expected = compared < body.Length ? body.PieceAt(compared).Span : [];
                var length = Math.Min(expected.Length, read - at);
                if (length == 0 || !expected[..length].SequenceEqual(buffer.AsSpan(at, length)))
                {
                    throw new DamagedWriteException();
                }

                at += length;
                compared += length;
            }

            attempt.Progressed(read);
        }

        if (compared < body.Length)
        {
            throw new DamagedWriteException();
        }
    }
}
