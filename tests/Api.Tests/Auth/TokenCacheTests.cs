using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Storage.Domain;
using Registry.Support;

namespace Registry.Api.Tests.Auth;

public sealed class TokenCacheTests : IAsyncLifetime
{
    private readonly ScriptedKeystone _keystone = new();
    private readonly SteppedTime _time = new(DateTimeOffset.UtcNow);
    private readonly KeystoneClient _client;
    private readonly TokenCache _cache;

    public TokenCacheTests()
    {
        _client = Client("secret");
        _cache = new TokenCache(_client, _time, NullLogger<TokenCache>.Instance);
    }

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _keystone.DisposeAsync();
    }

    [Fact]
    public async Task A_token_is_asked_about_once_a_minute_and_a_revoked_one_ends_within_it()
    {
        _keystone.Add("t", "u", "p", _time.GetUtcNow().AddHours(1), "Member", "reader");
        var found = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => FindAsync("t")));
        Assert.All(found, token => Assert.Equal(("u", "p"), (token!.UserId, token.ProjectId)));
        Assert.Equal(["member", "reader"], found[0]!.Roles.Order());
        Assert.Equal(1, _keystone.Questions);

        _keystone.Revoke("t");
        _time.Advance(TimeSpan.FromSeconds(59));
        Assert.NotNull(await FindAsync("t"));
        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.Null(await FindAsync("t"));
        Assert.Equal(2, _keystone.Questions);
    }

    [Fact]
    public async Task A_refusal_is_remembered_for_half_a_minute()
    {
        Assert.Null(await FindAsync("t"));
        _keystone.Add("t", "u", "p", _time.GetUtcNow().AddHours(1));
        _time.Advance(TimeSpan.FromSeconds(29));
        Assert.Null(await FindAsync("t"));
        Assert.Equal(1, _keystone.Questions);
        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.NotNull(await FindAsync("t"));
    }

    [Fact]
    public async Task A_token_ends_when_it_says_so_whatever_is_remembered()
    {
        _keystone.Add("t", "u", "p", _time.GetUtcNow().AddSeconds(20));
        Assert.NotNull(await FindAsync("t"));
        _time.Advance(TimeSpan.FromSeconds(21));
        Assert.Null(await FindAsync("t"));
    }

    [Theory]
    [InlineData(4, true)]
    [InlineData(6, false)]
    [InlineData(60, false)]
    public async Task A_token_that_has_ended_counts_while_the_clocks_may_differ_by_so_much(int minutesAgo, bool counts)
    {
        _keystone.Add("t", "u", "p", _time.GetUtcNow().AddMinutes(-minutesAgo));
        Assert.Equal(counts, await FindAsync("t") is not null);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    [InlineData(24)]
    [InlineData(-24)]
    public async Task A_step_of_the_clock_ends_no_token_that_the_identity_service_accepts(double hours)
    {
        _keystone.Add("t", "u", "p", _time.GetUtcNow().AddMinutes(30));
        Assert.NotNull(await FindAsync("t"));
        _time.Step(TimeSpan.FromHours(hours));
        Assert.NotNull(await FindAsync("t"));
        Assert.Equal(1, _keystone.Questions);
        _time.Advance(TimeSpan.FromSeconds(61));
        Assert.NotNull(await FindAsync("t")); // asked again, and with a service token that is still good
        Assert.Equal(2, _keystone.Questions);
        _keystone.Revoke("t");
        _time.Advance(TimeSpan.FromSeconds(61));
        Assert.Null(await FindAsync("t"));
    }

    [Fact]
    public async Task While_the_identity_service_is_away_known_tokens_work_for_five_minutes_and_others_do_not()
    {
        _keystone.Add("t", "u", "p", _time.GetUtcNow().AddHours(1));
        Assert.NotNull(await FindAsync("t"));
        _keystone.FailWith = 503;
        _time.Advance(TimeSpan.FromMinutes(4));
        Assert.NotNull(await FindAsync("t"));
        var refusal = await Assert.ThrowsAsync<RegistryException>(() => FindAsync("other"));
        Assert.Equal(ErrorCode.IdentityUnavailable, refusal.Code);
        Assert.DoesNotContain("127.0.0.1", refusal.Message, StringComparison.Ordinal);

        _time.Advance(TimeSpan.FromMinutes(2));
        await Assert.ThrowsAsync<RegistryException>(() => FindAsync("t"));
        _keystone.FailWith = null;
        Assert.NotNull(await FindAsync("t"));
    }

    [Fact]
    public async Task A_service_token_that_was_revoked_is_replaced()
    {
        _keystone.Add("a", "u", "p", _time.GetUtcNow().AddHours(1));
        _keystone.Add("b", "u", "p", _time.GetUtcNow().AddHours(1));
        Assert.NotNull(await FindAsync("a"));
        _keystone.RevokeServiceTokens();
        Assert.NotNull(await FindAsync("b"));
    }

    [Fact]
    public async Task A_service_user_that_is_refused_is_the_identity_services_absence_not_the_callers_fault()
    {
        using var client = Client("wrong");
        _keystone.Add("t", "u", "p", _time.GetUtcNow().AddHours(1));
        var refusal = await Assert.ThrowsAsync<RegistryException>(
            () => new TokenCache(client, _time, NullLogger<TokenCache>.Instance).FindAsync("t", RegistryApp.Stop).AsTask());
        Assert.Equal(ErrorCode.IdentityUnavailable, refusal.Code);
    }

    private Task<KeystoneToken?> FindAsync(string token) => _cache.FindAsync(token, RegistryApp.Stop).AsTask();

    private KeystoneClient Client(string password) => new(
        Options.Create(new RegistryOptions
        {
            Auth = new AuthSection
            {
                Kind = "keystone",
                Keystone = new KeystoneSection { Url = _keystone.Url, Username = "registry", Password = password },
            },
        }),
        _time);
}
