using System.Globalization;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Minio;
using Minio.DataModel;
using Minio.DataModel.Args;
using Minio.Exceptions;
using Registry.Storage.Blobs.Remote;

namespace Registry.Storage.Blobs.S3;

/// <summary>An object in a bucket.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Length">Its length in bytes.</param>
/// <param name="ModifiedAt">When it was written.</param>
internal readonly record struct S3Object(string Name, long Length, DateTimeOffset ModifiedAt);

/// <summary>One bucket. The only class that knows the Minio package: it makes and checks the bucket, lists, deletes,
/// and signs the addresses that bytes go to and come from.</summary>
internal sealed partial class S3Bucket : IDisposable
{
    private const int RemoveMax = 1000; // what one request may name
    private const int SignedSeconds = 3600;

    private readonly S3Options _options;
    private readonly StoreTransport _transport;
    private S3Clock? _clock;
    private readonly StoreCalls _calls;
    private readonly IMinioClient _client;
    private readonly S3ReadBack _readBack;

    // Of a store that is trusted: its ETags were not MD5s of the bytes though the bytes were right, so it encrypts.
    private volatile bool _hasForeignTags;

    public S3Bucket(S3Options options, StoreCalls calls, TimeProvider time, ILogger logger)
    {
        _options = options;
        _calls = calls;
        _transport = new StoreTransport(
            options.Authorities,
            sockets => new S3Answers(
                _clock = new S3Clock(sockets, new S3Signature(options.SecretKey), time, logger)));
        _readBack = new S3ReadBack(_transport.Bytes);
        try
        {
            _client = new MinioClient()
                .WithEndpoint(options.Endpoint.Authority)
                .WithSSL(options.Endpoint.Scheme == Uri.UriSchemeHttps)
                .WithRegion(options.Region)
                .WithCredentials(options.AccessKey, options.SecretKey)
                .WithHttpClient(_transport.Control)
                .Build();
        }
        catch (Exception e) when (e is MinioException or ArgumentException)
        {
            _transport.Dispose();
            throw new StoreUnavailableException(
                calls.StoreId, $"cannot use its endpoint '{options.Endpoint.Authority}'", mayPass: false, e);
        }
    }

    /// <summary>Sends and receives the bytes of objects.</summary>
    public HttpClient Http => _transport.Bytes;

    /// <summary>Where an object can be read for the next hour. The address holds a signature: not for logs.</summary>
    public ValueTask<Uri> SignGetAsync(string name) => SignGetAsync(name, SignedSeconds);

    /// <summary>Where an object can be read for some seconds.</summary>
    public async ValueTask<Uri> SignGetAsync(string name, int seconds) =>
        new(await _client.PresignedGetObjectAsync(
            new PresignedGetObjectArgs().WithBucket(_options.Bucket).WithObject(name).WithExpiry(seconds)
                .WithRequestDate(_clock!.Now.UtcDateTime))
            .ConfigureAwait(false));

    /// <summary>Writes an object, and makes sure that the store has the bytes that were sent.</summary>
    /// <remarks>The MD5 goes along, so that a store refuses other bytes, and the answer's ETag is compared with it. Where
    /// the ETag is something else, the object is read back; <see cref="S3Options.VerifiesUnconfirmedWrites"/> turns that
    /// off. Other bytes are sent again, like any failure that may pass.</remarks>
    /// <param name="name">Its name.</param>
    /// <param name="body">Its content.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="StoreFullException">The store has no room.</exception>
    /// <exception cref="StoreUnavailableException">The store failed, or keeps getting other bytes.</exception>
    public Task PutAsync(string name, S3Body body, CancellationToken cancellationToken) =>
        _calls.RunAsync(
            "write",
            async attempt =>
            {
                var address = await _client.PresignedPutObjectAsync(
                    new PresignedPutObjectArgs().WithBucket(_options.Bucket).WithObject(name).WithExpiry(SignedSeconds))
                    .ConfigureAwait(false);
                using var request = new HttpRequestMessage(HttpMethod.Put, address) { Content = body.ToContent(attempt) };
                request.Content.Headers.ContentMD5 = body.Md5();
                using var response = await Http.SendAsync(request, attempt.Token).ConfigureAwait(false);
                attempt.Progressed(0);
                var confirmation = S3Confirmations.Of(response.Headers, body);
                if (confirmation != S3Confirmation.Same
                    && (_options.VerifiesUnconfirmedWrites
                        || (confirmation == S3Confirmation.Other && !_hasForeignTags)))
                {
                    await _readBack.RequireAsync(await SignGetAsync(name).ConfigureAwait(false), body, attempt)
                        .ConfigureAwait(false);
                    _hasForeignTags |= confirmation == S3Confirmation.Other;
                }
            },
            cancellationToken);

    /// <summary>Lists the objects whose names begin with a text, in the order of their names.</summary>
    /// <exception cref="StoreUnavailableException">The store failed.</exception>
    public async IAsyncEnumerable<S3Object> ListAsync(
        string prefix, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var items = _client.ListObjectsEnumAsync(ListOf(prefix), stop.Token).GetAsyncEnumerator(stop.Token);
        await using var disposal = items.ConfigureAwait(false);
        while (true)
        {
            stop.CancelAfter(_options.Patience.Deadline);
            try
            {
                if (!await items.MoveNextAsync().ConfigureAwait(false))
                {
                    break;
                }
            }
            catch (Exception exception) when (
                exception is not ArgumentException && !cancellationToken.IsCancellationRequested)
            {
                // Not repeated: an enumeration cannot be taken up where it broke off.
                throw _calls.Describe(exception);
            }

            stop.CancelAfter(Timeout.InfiniteTimeSpan); // the caller may take its time
            S3Object found;
            try
            {
                found = ObjectOf(items.Current, prefix);
            }
            catch (IOException garbled)
            {
                throw _calls.Describe(garbled);
            }

            yield return found;
        }
    }

    /// <summary>Lists all that begins with a text at once; for what is known to be few.</summary>
    /// <inheritdoc cref="ListAsync"/>
    public Task<List<S3Object>> ListAllAsync(string prefix, CancellationToken cancellationToken) =>
        _calls.RunAsync(
            "list",
            async attempt =>
            {
                var found = new List<S3Object>();
                await foreach (var item in _client.ListObjectsEnumAsync(ListOf(prefix), attempt.Token)
                    .ConfigureAwait(false))
                {
                    attempt.Progressed(0);
                    found.Add(ObjectOf(item, prefix));
                }

                return found;
            },
            cancellationToken);

    /// <summary>Removes objects; those that are not there are no error.</summary>
    /// <exception cref="StoreUnavailableException">The store failed, or kept one.</exception>
    public async Task RemoveAsync(IReadOnlyList<string> names, CancellationToken cancellationToken)
    {
        foreach (var batch in names.Chunk(RemoveMax))
        {
            await _calls.RunAsync(
                "remove",
                async attempt =>
                {
                    var kept = await _client.RemoveObjectsAsync(
                        new RemoveObjectsArgs().WithBucket(_options.Bucket).WithObjects(batch), attempt.Token)
                        .ConfigureAwait(false);
                    var refusal = kept.FirstOrDefault(error => error.Code != "NoSuchKey");
                    if (refusal is not null)
                    {
                        throw new IOException($"The store kept {kept.Count} objects: {refusal.Code}.");
                    }
                },
                cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _client.Dispose();
        _transport.Dispose();
    }

    // A list has no checksum: what cannot be an object of the list is a list that was damaged on the way.
    private static S3Object ObjectOf(Item item, string prefix) =>
        item.Key.StartsWith(prefix, StringComparison.Ordinal)
        && item.Size <= long.MaxValue
        && DateTimeOffset.TryParse(
            item.LastModified, CultureInfo.InvariantCulture, DateTimeStyles.None, out var modifiedAt)
            ? new S3Object(item.Key, (long)item.Size, modifiedAt)
            : throw new GarbledAnswerException();

    private ListObjectsArgs ListOf(string prefix) =>
        new ListObjectsArgs().WithBucket(_options.Bucket).WithPrefix(prefix).WithRecursive(true);
}
