using Registry.Storage.Blobs;
using Registry.Storage.Blobs.Remote;
using Registry.Storage.Blobs.S3;
using Registry.Storage.Tests.Domain;
using Registry.Support;

namespace Registry.Storage.Tests.Blobs;

/// <summary>What an S3 store makes of listings and removals in other words than Amazon's.</summary>
public sealed class S3AnswerTests : IAsyncDisposable
{
    private const string Amazon = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
    private static readonly StorePatience _patience = new(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(2));

    private readonly FakeS3 _server = new();
    private readonly S3BlobStore _store;
    private readonly BlobKey _key = new(Images.NewId(), 1);

    public S3AnswerTests() => _store = TestS3.Open("s1", _server.Endpoint, "bucket", BlobIndex.BlockBytes, _patience);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync()
    {
        _store.Dispose();
        await _server.DisposeAsync();
    }

    [Theory]
    [InlineData("http://s3.amazonaws.com/doc/2006-03-01")] // without the slash
    [InlineData("http://doc.s3.amazonaws.com/2006-03-01")]
    [InlineData("urn:example:s3")]
    [InlineData("")]
    public async Task Listings_and_removals_are_understood_in_every_namespace(string name)
    {
        var space = name.Length == 0 ? "" : $" xmlns=\"{name}\"";
        _server.Rewrite = xml => xml.Replace(Amazon, space, StringComparison.Ordinal);
        await UseAsync();
    }

    [Fact]
    public async Task Listings_and_removals_are_understood_with_a_prefix_and_with_more_in_them()
    {
        _server.Rewrite = xml => "<?xml version='1.0' encoding='UTF-8'?><!-- store --> "
            + xml.Replace(Amazon, " xmlns:s3=\"urn:example:s3\" v=\"1\"", StringComparison.Ordinal)
                .Replace("</", "</s3:", StringComparison.Ordinal)
                .Replace("<Contents>", "<Contents><x:More xmlns:x=\"urn:x\">1</x:More>", StringComparison.Ordinal);
        _server.Rewrite = Prefixed(_server.Rewrite);
        await UseAsync();
    }

    [Theory]
    [InlineData("<ListBucketResult", "<Other", "</ListBucketResult", "</Other")]
    [InlineData("<Key>", "<Name>", "</Key>", "</Name>")]
    [InlineData("<Size>", "<Length>", "</Size>", "</Length>")]
    [InlineData("<LastModified>", "<Time>", "</LastModified>", "</Time>")]
    [InlineData("<Contents>", "<Object>", "</Contents>", "</Object>")]
    [InlineData(">false<", ">true<", "", "")]
    [InlineData("</ListBucketResult>", "", "", "")]
    [InlineData("<ListBucketResult", "<!DOCTYPE x><ListBucketResult", "", "")]
    public async Task A_listing_that_is_not_understood_is_an_error_and_never_an_empty_list(
        string first, string instead, string second, string other)
    {
        await CommitAsync();
        _server.Rewrite = xml =>
        {
            xml = xml.Replace(first, instead, StringComparison.Ordinal)
                .Replace("<IsTruncated>", "<KeyCount>1</KeyCount><IsTruncated>", StringComparison.Ordinal);
            return second.Length == 0 ? xml : xml.Replace(second, other, StringComparison.Ordinal);
        };
        var listing = await Assert.ThrowsAsync<StoreUnavailableException>(
            async () => await _store.ListAsync(Cancellation).ToListAsync(Cancellation));
        Assert.StartsWith("Store 's1' sent an answer that ", listing.Message, StringComparison.Ordinal);
        _server.Rewrite = xml => xml;
        Assert.NotNull(await _store.StatAsync(_key, Cancellation));
    }

    [Fact]
    public async Task A_store_that_is_not_understood_loses_nothing_and_does_not_pass_the_check_of_the_start()
    {
        await CommitAsync();
        _server.Rewrite = _ => "<html/>";
        await Assert.ThrowsAsync<StoreUnavailableException>(async () => await _store.DeleteAsync(_key, Cancellation));
        var start = await Assert.ThrowsAsync<StoreUnavailableException>(() => _store.PrepareAsync(Cancellation));
        Assert.False(start.MayPass);
        _server.Rewrite = xml => xml;
        Assert.Single(await _store.ListAsync(Cancellation).ToListAsync(Cancellation));
    }

    private static Func<string, string> Prefixed(Func<string, string> rewrite) => xml =>
    {
        var text = rewrite(xml);
        foreach (var name in new[]
        {
            "ListBucketResult", "DeleteResult", "Contents", "Key>", "Size", "LastModified", "ETag", "IsTruncated",
        })
        {
            text = text.Replace("<" + name, "<s3:" + name, StringComparison.Ordinal);
        }

        return text;
    };

    private async Task UseAsync()
    {
        await _store.PrepareAsync(Cancellation);
        await CommitAsync();
        Assert.Equal(_key, Assert.Single(await _store.ListAsync(Cancellation).ToListAsync(Cancellation)).Key);
        await _store.DeleteAsync(_key, Cancellation);
        Assert.Empty(await _store.ListAsync(Cancellation).ToListAsync(Cancellation));
    }

    private async Task CommitAsync()
    {
        await using var writer = await _store.BeginAsync(_key, null, Cancellation);
        await writer.AppendAsync(BlobPart.Data, new byte[1000], Cancellation);
        await writer.CommitAsync(Cancellation);
    }
}
