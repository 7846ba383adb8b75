using Registry.Support;

namespace Registry.Api.Tests.Usage;

/// <summary>Keystone's unified limits, with a Keystone that fails on demand.</summary>
public sealed class KeystoneLimitsTests : IAsyncLifetime
{
    private static readonly string[] Resources =
        ["image_size_total", "image_stage_total", "image_count_total", "image_count_uploading"];

    private readonly ScriptedKeystone _keystone = new();
    private RegistryApp _app = null!;

    public ValueTask InitializeAsync()
    {
        var soon = DateTimeOffset.UtcNow.AddHours(1);
        _keystone.Add("mine", "u1", "p1", soon, "member", "reader");
        _keystone.Add("other", "u2", "p2", soon, "member", "reader");
        foreach (var resource in Resources)
        {
            _keystone.Limit(resource, 10);
        }

        return StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await _keystone.DisposeAsync();
    }

    [Fact]
    public async Task A_changed_limit_counts_at_once_and_a_projects_own_comes_before_the_registered_one()
    {
        _keystone.Limit("image_count_total", 1, "p1");
        Assert.Equal(201, await CreateAsync("mine"));
        Assert.Equal(413, await CreateAsync("mine", "image_count_total_exceeded"));
        Assert.Equal(201, await CreateAsync("other"));
        Assert.Equal(201, await CreateAsync("other"));
        _keystone.Limit("image_count_total", 2, "p1");
        Assert.Equal(201, await CreateAsync("mine"));
        Assert.Equal(413, await CreateAsync("mine", "image_count_total_exceeded"));
        _keystone.Limit("image_count_total", -1, "p1");
        Assert.Equal(201, await CreateAsync("mine"));
    }

    [Fact]
    public async Task The_usage_is_told_with_the_limits()
    {
        _keystone.Limit("image_size_total", 7, "p1");
        var id = await CreatedAsync("mine");
        Assert.Equal(204, await UploadAsync("mine", id, (2 << 20) + 5));
        Assert.Equal(204, await StageAsync("mine", await CreatedAsync("mine"), 1 << 20));
        using var response = await SendAsync("mine", HttpMethod.Get, "/v2/info/usage");
        Assert.Equal(
            """
            {"usage":{"image_size_total":{"usage":2,"limit":7},"image_stage_total":{"usage":1,"limit":10},
            "image_count_total":{"usage":2,"limit":10},"image_count_uploading":{"usage":1,"limit":10}}}
            """.ReplaceLineEndings(""),
            await response.Content.ReadAsStringAsync(RegistryApp.Stop));
    }

    [Fact]
    public async Task What_is_not_registered_is_nobodys()
    {
        await using var bare = new ScriptedKeystone();
        bare.Add("mine", "u1", "p1", DateTimeOffset.UtcNow.AddHours(1), "member", "reader");
        await _app.DisposeAsync();
        await StartAsync(bare);
        Assert.Equal(413, await CreateAsync("mine", "image_count_total_exceeded"));
    }

    [Fact]
    public async Task While_Keystone_is_away_limits_that_are_known_count_and_nobody_elses_image_begins()
    {
        Assert.Equal(201, await CreateAsync("mine"));
        Assert.Equal(200, await StatusAsync("other", HttpMethod.Get, "/v2/images"));
        _keystone.FailWith = 500;
        Assert.Equal(201, await CreateAsync("mine"));
        using var refused = await SendAsync("other", HttpMethod.Post, "/v2/images", "{}");
        Assert.Equal(503, (int)refused.StatusCode);
        Assert.Equal("identity_unavailable", refused.Headers.GetValues("X-Registry-Reason").Single());
        Assert.NotNull(refused.Headers.RetryAfter);
        Assert.Equal(200, await StatusAsync("other", HttpMethod.Get, "/v2/images"));
        _keystone.FailWith = null;
        Assert.Equal(201, await CreateAsync("other"));
    }

    [Fact]
    public async Task A_service_user_without_a_role_on_the_system_limits_nobody_by_chance()
    {
        _keystone.IsOnSystem = false;
        Assert.Equal(503, await CreateAsync("mine", "identity_unavailable"));
        _keystone.IsOnSystem = true;
        Assert.Equal(201, await CreateAsync("mine"));
        _keystone.RevokeServiceTokens();
        Assert.Equal(201, await CreateAsync("mine"));
    }

    [Theory]
    [InlineData("EndpointId", "one-endpoint", 201)]
    [InlineData("EndpointId", "no-endpoint", 503)]
    [InlineData("Service", "glance", 201)]
    [InlineData("Region", "here", 201)]
    [InlineData("Region", "elsewhere", 413)]
    public async Task The_service_and_its_region_are_found(string setting, string value, int status)
    {
        await _app.DisposeAsync();
        await StartAsync(_keystone, ($"Registry:Quota:{setting}", value));
        Assert.Equal(status, await CreateAsync("mine"));
    }

    [Fact]
    public async Task Where_the_operator_wants_so_Keystone_is_asked_less_often()
    {
        await _app.DisposeAsync();
        await StartAsync(_keystone, ("Registry:Quota:FreshFor", "00:05:00"));
        for (var i = 0; i < 5; i++)
        {
            Assert.Equal(201, await CreateAsync("mine"));
        }

        Assert.Equal(1, _keystone.LimitQuestions);
    }

    [Fact]
    public void Limits_of_a_Keystone_that_nobody_is_known_to_are_a_mistake()
    {
        var options = new RegistryOptions { Quota = new() { UseKeystoneLimits = true } };
        var mistake = Assert.Throws<ConfigurationException>(options.Validate);
        Assert.StartsWith("Registry:Quota:UseKeystoneLimits is 'true'", mistake.Message, StringComparison.Ordinal);
    }

    private ValueTask StartAsync() => StartAsync(_keystone);

    private async ValueTask StartAsync(ScriptedKeystone keystone, params (string Name, string Value)[] settings)
    {
        _app = new RegistryApp
        {
            Settings =
            {
                ["Registry:Auth:Kind"] = "keystone",
                ["Registry:Auth:Keystone:Url"] = keystone.Url,
                ["Registry:Auth:Keystone:Username"] = "registry",
                ["Registry:Auth:Keystone:Password"] = "secret",
                ["Registry:Quota:UseKeystoneLimits"] = "true",
            },
        };
        foreach (var (name, value) in settings)
        {
            _app.Settings[name] = value;
        }

        await _app.InitializeAsync();
    }

    private async Task<HttpResponseMessage> SendAsync(
        string token, HttpMethod method, string path, string? body = null, HttpContent? content = null)
    {
        using var request = new HttpRequestMessage(method, path);
        request.Headers.Add("X-Auth-Token", token);
        request.Content = content ?? (body is null ? null : new StringContent(body, null, "application/json"));
        return await _app.Http.SendAsync(request, RegistryApp.Stop);
    }

    private async Task<int> StatusAsync(string token, HttpMethod method, string path)
    {
        using var response = await SendAsync(token, method, path);
        return (int)response.StatusCode;
    }

    private async Task<int> CreateAsync(string token, string? reason = null)
    {
        using var response = await SendAsync(token, HttpMethod.Post, "/v2/images", "{}");
        if (reason is not null)
        {
            Assert.Equal(reason, response.Headers.GetValues("X-Registry-Reason").Single());
        }

        return (int)response.StatusCode;
    }

    private async Task<string> CreatedAsync(string token)
    {
        using var response = await SendAsync(
            token, HttpMethod.Post, "/v2/images", """{"disk_format":"raw","container_format":"bare"}""");
        return (await RegistryApp.JsonAsync(response)).GetProperty("id").GetString()!;
    }

    private Task<int> UploadAsync(string token, string id, int length) => PutAsync(token, $"/v2/images/{id}/file", length);

    private Task<int> StageAsync(string token, string id, int length) => PutAsync(token, $"/v2/images/{id}/stage", length);

    private async Task<int> PutAsync(string token, string path, int length)
    {
        using var content = new ByteArrayContent(new byte[length]);
        content.Headers.ContentType = new("application/octet-stream");
        using var response = await SendAsync(token, HttpMethod.Put, path, content: content);
        return (int)response.StatusCode;
    }
}
