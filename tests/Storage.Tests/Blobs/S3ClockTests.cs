using System.Globalization;
using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Registry.Storage.Blobs.Remote;
using Registry.Storage.Blobs.S3;
using Registry.Support;

namespace Registry.Storage.Tests.Blobs;

public sealed class S3ClockTests : IDisposable
{
    private const string Secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    private static readonly DateTimeOffset Example = new(2013, 5, 24, 0, 0, 0, TimeSpan.Zero);
    private readonly SteppedTime _time = new(Example);
    private readonly FakeStore _store = new();

    public void Dispose() => _store.Dispose();

    // The examples of Amazon's documentation of signature version 4, signed on another day first.
    [Fact]
    public void A_signed_address_is_signed_again_as_the_documentation_has_it()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, Address("20130101T000000Z"));
        new S3Signature(Secret).SignAgain(request, Example);
        Assert.Contains(
            "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404", request.RequestUri!.Query,
            StringComparison.Ordinal);
        Assert.Equal(Example, S3Signature.TimeOf(request));
    }

    [Fact]
    public void A_signed_header_is_signed_again_as_the_documentation_has_it()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "https://examplebucket.s3.amazonaws.com/test.txt");
        request.Headers.TryAddWithoutValidation("Range", "bytes=0-9");
        request.Headers.TryAddWithoutValidation(
            "x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        request.Headers.TryAddWithoutValidation("x-amz-date", "20130101T000000Z");
        request.Headers.TryAddWithoutValidation(
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130101/us-east-1/s3/aws4_request," +
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=00");
        new S3Signature(Secret).SignAgain(request, Example);
        var signed = request.Headers.NonValidated["Authorization"].ToString();
        Assert.EndsWith(
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41", signed, StringComparison.Ordinal);
        Assert.Contains("/20130524/us-east-1/", signed, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(24)]
    [InlineData(-24)]
    [InlineData(1)]
    public async Task A_clock_that_is_wrong_from_the_start_costs_one_refusal_that_names_it(double hours)
    {
        var right = Example.AddHours(-hours);
        _store.Now = right;
        using var http = Client();
        var refused = await Assert.ThrowsAsync<StoreStatusException>(() => http.GetAsync(Signed(), Stop));
        Assert.True(refused.MayPass);
        Assert.Contains("clock", refused.Message, StringComparison.Ordinal);
        using var answer = await http.GetAsync(Signed(), Stop);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal(right, _store.SignedAt);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    [InlineData(24)]
    [InlineData(-24)]
    public async Task A_step_is_not_noticed_by_the_store(double hours)
    {
        _store.Now = Example;
        using var http = Client();
        using var before = await http.GetAsync(Signed(), Stop);
        _time.Step(TimeSpan.FromHours(hours));
        using var after = await http.GetAsync(Signed(), Stop);
        Assert.Equal(HttpStatusCode.OK, after.StatusCode);
        Assert.Equal(Example, _store.SignedAt);
    }

    [Fact]
    public async Task Five_minutes_of_difference_are_tolerated_without_a_refusal_once_the_store_has_answered()
    {
        _store.Now = Example.AddMinutes(5);
        using var http = Client();
        using var first = await http.GetAsync(Signed(), Stop); // within what every store tolerates
        using var second = await http.GetAsync(Signed(), Stop);
        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.OK), (first.StatusCode, second.StatusCode));
        Assert.Equal(_store.Now, _store.SignedAt);
    }

    [Fact]
    public async Task A_refusal_that_is_not_the_clocks_stays_what_it_is()
    {
        _store.Now = Example;
        _store.Refuses = true;
        using var http = Client();
        using var answer = await http.GetAsync(Signed(), Stop);
        Assert.Equal(HttpStatusCode.Forbidden, answer.StatusCode);
    }

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private HttpClient Client() =>
        new(new S3Clock(_store, new S3Signature(Secret), _time, NullLogger.Instance));

    private Uri Signed() =>
        Address(_time.GetUtcNow().ToString("yyyyMMdd'T'HHmmss'Z'", CultureInfo.InvariantCulture));

    private static Uri Address(string stamp) => new(
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256" +
        $"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F{stamp[..8]}%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date={stamp}" +
        "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=00");

    // It refuses what is signed more than 15 minutes away from its time, as stores do.
    private sealed class FakeStore : HttpMessageHandler
    {
        public DateTimeOffset Now { get; set; }

        public bool Refuses { get; set; }

        public DateTimeOffset? SignedAt { get; private set; }

        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken stop)
        {
            SignedAt = S3Signature.TimeOf(request);
            var isGood = !Refuses && (SignedAt!.Value - Now).Duration() <= TimeSpan.FromMinutes(15);
            var answer = new HttpResponseMessage(isGood ? HttpStatusCode.OK : HttpStatusCode.Forbidden);
            answer.Headers.Date = Now;
            return Task.FromResult(answer);
        }
    }
}
