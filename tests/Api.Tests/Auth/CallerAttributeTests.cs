using System.Text.Json;
using Grpc.Core;
using Registry.Api.Auth;

namespace Registry.Api.Tests.Auth;

/// <summary>The attributes that rules may name are read from tokens and from the headers of a proxy.</summary>
public sealed class CallerAttributeTests
{
    [Theory]
    [InlineData("", null, null, true)]
    [InlineData(""","project":{"id":"p","domain":{"id":"pd","name":"x"}}""", "pd", null, true)]
    [InlineData(""","project":{"id":"p"},"is_admin_project":false""", null, null, false)]
    [InlineData(""","project":{"id":"p","domain":{"id":"pd"}},"is_admin_project":true""", "pd", null, true)]
    [InlineData(""","domain":{"id":"d"}""", null, "d", true)]
    public void A_token_names_domains_and_whether_its_project_administers(
        string scope, string? projectDomain, string? domain, bool isAdminProject)
    {
        using var json = JsonDocument.Parse(
            $$$$"""
            {"token":{"expires_at":"2030-01-01T00:00:00.000000Z","user":{"id":"u","domain":{"id":"ud","name":"x"}},
             "roles":[{"name":"Member"}]{{{{scope}}}}}}
            """);
        var token = KeystoneToken.Read(json.RootElement);
        Assert.Equal(("ud", projectDomain, domain), (token.UserDomainId, token.ProjectDomainId, token.DomainId));
        Assert.Equal(isAdminProject, token.IsAdminProject);
    }

    private static readonly (string Rule, string Header, string Holds, string Fails)[] Headers =
    [
        ("user_domain_id:d1", "X-User-Domain-Id", "d1", "d2"),
        ("not user_domain_id:d2", "X-User-Domain-Id", "d1", "d2"),
        ("project_domain_id:d1", "X-Project-Domain-Id", "d1", "d2"),
        ("is_admin_project:True", "X-Is-Admin-Project", "True", "False"),
        ("not is_admin_project:True", "X-Is-Admin-Project", "false", "true"),
        ("service_user_id:s", "X-Service-User-Id", "s", "t"),
        ("service_project_id:s", "X-Service-Project-Id", "s", "t"),
        ("service_user_domain_id:s", "X-Service-User-Domain-Id", "s", "t"),
        ("service_project_domain_id:s", "X-Service-Project-Domain-Id", "s", "t"),
        ("service_roles:nova", "X-Service-Roles", "Nova,other", "other"),
    ];

    [Fact]
    public async Task A_rule_sees_what_the_headers_say()
    {
        await using var lab = await ProxyApp.StartAsync("{}");
        foreach (var (rule, header, holds, fails) in Headers)
        {
            await lab.UsePolicyAsync($"get_images: \"{rule}\"\n");
            foreach (var (value, status) in new[] { (holds, 200), (fails, 403) })
            {
                var caller = ProxyApp.Identity("p");
                caller.Add("x-service-identity-status", "Confirmed");
                caller.Add(header.ToLowerInvariant(), value);
                Assert.True(status == await lab.StatusAsync(caller, "GET", "/v2/images"), $"{rule} with {value}");
            }
        }
    }

    [Theory]
    [InlineData("reader", "GET", "/v2/images", 200)]
    [InlineData("reader", "GET", "/v2/metadefs/namespaces", 200)]
    [InlineData("member", "GET", "/v2/images", 403)]
    [InlineData("reader,member", "POST", "/v2/images", 403)]
    public async Task A_caller_without_a_project_may_list_with_the_role_that_lists(
        string roles, string method, string path, int status)
    {
        await using var lab = await ProxyApp.StartAsync("{}");
        Metadata caller = new() { { "x-identity-status", "Confirmed" }, { "x-user-id", "u" }, { "x-roles", roles } };
        Assert.Equal(status, await lab.StatusAsync(caller, method, path, method == "POST" ? "{}" : null));
    }

    [Fact]
    public async Task A_service_that_no_proxy_vouches_for_is_none()
    {
        await using var lab = await ProxyApp.StartAsync("get_images: \"service_user_id:s\"\n");
        var caller = ProxyApp.Identity("p");
        caller.Add("x-service-user-id", "s");
        Assert.Equal(403, await lab.StatusAsync(caller, "GET", "/v2/images"));
    }
}
