using Minio.DataModel.Args;
using Minio.Exceptions;
using Registry.Storage.Blobs.Remote;

namespace Registry.Storage.Blobs.S3;

/// <content>The checks of a start.</content>
internal sealed partial class S3Bucket
{
    /// <summary>Checks that the bucket is there, or makes it where the options say so, and that its listing is
    /// understood.</summary>
    /// <param name="prefix">What the names of the objects begin with that are listed.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="StoreUnavailableException">It is not there, the store does not let us in, or does not answer as
    /// an S3 store.</exception>
    public async Task PrepareAsync(string prefix, CancellationToken cancellationToken)
    {
        try
        {
            await _calls.RunAsync("check the bucket", FindOrMakeAsync, cancellationToken).ConfigureAwait(false);
            await _calls.RunAsync("list", attempt => ListSomeAsync(prefix, attempt), cancellationToken)
                .ConfigureAwait(false);
        }
        catch (StoreStatusException refused)
        {
            throw _calls.Describe(refused);
        }
        catch (StoreUnavailableException e) when (e.InnerException is GarbledAnswerException or MinioException)
        {
            var problem = (e.InnerException as GarbledAnswerException)?.Message ?? "does not answer as an S3 store";
            throw new StoreUnavailableException(
                _calls.StoreId, $"{problem}; check its endpoint '{_options.Endpoint.Authority}' and its bucket",
                mayPass: false, e);
        }
    }

    private async Task FindOrMakeAsync(StoreAttempt attempt)
    {
        try
        {
            await _client.BucketExistsAsync(
                new BucketExistsArgs().WithBucket(_options.Bucket), attempt.Token).ConfigureAwait(false);
        }
        catch (StoreStatusException refused) when (refused.Status == System.Net.HttpStatusCode.NotFound)
        {
            await MakeAsync(attempt).ConfigureAwait(false);
        }
    }

    // One page, up to the first object.
    private async Task ListSomeAsync(string prefix, StoreAttempt attempt)
    {
        await foreach (var item in _client.ListObjectsEnumAsync(ListOf(prefix), attempt.Token).ConfigureAwait(false))
        {
            _ = ObjectOf(item, prefix);
            return;
        }
    }

    private async Task MakeAsync(StoreAttempt attempt)
    {
        if (!_options.CreateBucket)
        {
            throw new StoreStatusException(System.Net.HttpStatusCode.NotFound, "NoSuchBucket");
        }

        try
        {
            await _client.MakeBucketAsync(
                new MakeBucketArgs().WithBucket(_options.Bucket).WithLocation(_options.Region), attempt.Token)
                .ConfigureAwait(false);
        }
        catch (StoreStatusException refused) when (refused.Code == "BucketAlreadyOwnedByYou")
        {
            // Another replica was faster.
        }
    }
}
