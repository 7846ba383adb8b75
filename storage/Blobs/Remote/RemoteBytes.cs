using System.Net;
using System.Net.Http.Headers;

namespace Registry.Storage.Blobs.Remote;

/// <summary>Ranged reads over HTTP, taken up again where they broke off.</summary>
internal sealed class RemoteBytes(HttpClient http, StoreCalls calls)
{
    /// <summary>Where an object is. Asked anew for each attempt: a signed address ages.</summary>
    public delegate ValueTask<Uri> Locate();

    /// <summary>Reads from a blob that is cut into objects.</summary>
    /// <param name="key">The blob, for errors.</param>
    /// <param name="blob">How it is cut.</param>
    /// <param name="part">The part to read from.</param>
    /// <param name="offset">Byte offset in the part.</param>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="locate">Where the object of a name is, <c>data.3</c> or <c>data</c>.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Bytes read; less than the buffer only where the part ends, or an object is shorter than it was.
    /// </returns>
    public async ValueTask<int> ReadAsync(
        BlobKey key,
        SegmentedBlob blob,
        BlobPart part,
        long offset,
        Memory<byte> buffer,
        Func<string, ValueTask<Uri>> locate,
        CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        var wanted = (int)Math.Min(buffer.Length, Math.Max(0, blob.Length(part) - offset));
        var segment = blob.SegmentBytes(part);
        if (segment == 0)
        {
            return await ReadObjectAsync(
                key, () => locate(BlobLayout.FileName(part)), offset, buffer[..wanted], cancellationToken)
                .ConfigureAwait(false);
        }

        var read = 0;
        while (read < wanted)
        {
            var (number, from) = Math.DivRem(offset + read, segment);
            var length = (int)Math.Min(wanted - read, segment - from);
            var got = await ReadObjectAsync(
                key,
                () => locate(BlobLayout.SegmentName(part, number)),
                from,
                buffer.Slice(read, length),
                cancellationToken).ConfigureAwait(false);
            read += got;
            if (got < length)
            {
                break;
            }
        }

        return read;
    }

    /// <summary>Reads from one object.</summary>
    /// <returns>Bytes read; less than the buffer only where the object ends.</returns>
    /// <exception cref="BlobNotFoundException">There is no such object.</exception>
    /// <exception cref="StoreUnavailableException">The store failed.</exception>
    public async Task<int> ReadObjectAsync(
        BlobKey key, Locate locate, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        if (buffer.IsEmpty)
        {
            return 0;
        }

        var read = 0;
        try
        {
            await calls.RunAsync(
                "read",
                async attempt =>
                {
                    using var request = new HttpRequestMessage(HttpMethod.Get, await locate().ConfigureAwait(false));
                    request.Headers.Range = new RangeHeaderValue(offset + read, offset + buffer.Length - 1);
                    using var response = await http
                        .SendAsync(request, HttpCompletionOption.ResponseHeadersRead, attempt.Token)
                        .ConfigureAwait(false);
                    attempt.Progressed(0);
                    RequireRange(response, offset + read);
                    var promised = response.Content.Headers.ContentLength ?? buffer.Length - read;
                    var end = read + (int)Math.Min(promised, buffer.Length - read);
                    var body = await response.Content.ReadAsStreamAsync(attempt.Token).ConfigureAwait(false);
                    await using var disposal = body.ConfigureAwait(false);
                    while (read < end)
                    {
                        var got = await body.ReadAsync(buffer[read..end], attempt.Token).ConfigureAwait(false);
                        if (got == 0)
                        {
                            throw new EndOfStreamException("The answer ended early.");
                        }

                        read += got;
                        attempt.Progressed(got);
                    }
                },
                cancellationToken).ConfigureAwait(false);
        }
        catch (StoreStatusException refused) when (refused.IsNotFound)
        {
            throw new BlobNotFoundException(key);
        }
        catch (StoreUnavailableException unavailable) when (
            unavailable.InnerException is StoreStatusException
            {
                Status: HttpStatusCode.RequestedRangeNotSatisfiable,
            })
        {
            // The object ends before the range.
        }

        return read;
    }

    /// <summary>Reads the record of a blob.</summary>
    /// <exception cref="BlobNotFoundException">There is no such blob.</exception>
    /// <exception cref="BlobCorruptException">It is not a record.</exception>
    /// <exception cref="StoreUnavailableException">The store failed.</exception>
    public async Task<SegmentedBlob> ReadRecordAsync(string storeId, BlobKey key, Locate locate) =>
        await AgreedAnswer.GetAsync(async () =>
        {
            var bytes = new byte[SegmentedBlob.Size];
            var read = await ReadObjectAsync(key, locate, 0, bytes, CancellationToken.None).ConfigureAwait(false);
            return SegmentedBlob.TryParse(bytes.AsSpan(0, read));
        }).ConfigureAwait(false) ?? throw new BlobCorruptException(storeId, key, BlobPart.Index, 0);

    /// <summary>Asks how long an object is and which, by reading one byte of it: an address that is signed for reading
    /// is good for nothing else.</summary>
    /// <exception cref="StoreStatusException">There is no such object.</exception>
    /// <exception cref="StoreUnavailableException">The store failed, or does not say.</exception>
    public async Task<ObjectStat> ProbeAsync(Locate locate, CancellationToken cancellationToken)
    {
        try
        {
            return await calls.RunAsync(
                "look at",
                async attempt =>
                {
                    using var request = new HttpRequestMessage(HttpMethod.Get, await locate().ConfigureAwait(false));
                    request.Headers.Range = new RangeHeaderValue(0, 0);
                    using var response = await http
                        .SendAsync(request, HttpCompletionOption.ResponseHeadersRead, attempt.Token)
                        .ConfigureAwait(false);
                    RequireRange(response, 0);
                    return response.Content.Headers.ContentRange?.Length is { } length
                        ? new ObjectStat(length, response.Headers.ETag?.Tag ?? "")
                        : throw new StoreStatusException(HttpStatusCode.NotImplemented, StoreStatusException.RangeCode);
                },
                cancellationToken).ConfigureAwait(false);
        }
        catch (StoreUnavailableException unavailable) when (
            unavailable.InnerException is StoreStatusException
            {
                Status: HttpStatusCode.RequestedRangeNotSatisfiable,
            })
        {
            return new ObjectStat(0, ""); // an empty object has no first byte
        }
    }

    // A server without ranges sends everything: fine from the start, useless elsewhere.
    private static void RequireRange(HttpResponseMessage response, long offset)
    {
        var from = response.StatusCode switch
        {
            HttpStatusCode.PartialContent => response.Content.Headers.ContentRange?.From,
            HttpStatusCode.OK => 0,
            _ => null,
        };
        if (from != offset && response.StatusCode == HttpStatusCode.OK)
        {
            throw new StoreStatusException(HttpStatusCode.NotImplemented, StoreStatusException.RangeCode);
        }

        // Another range, or a length that is not the range's, is a head that was damaged on the way.
        if (from != offset
            || (response.Content.Headers is { ContentLength: { } length, ContentRange: { To: { } to } }
                && length != to - offset + 1))
        {
            throw new GarbledAnswerException();
        }
    }
}
