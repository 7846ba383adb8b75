using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using Registry.Api.Auth;
using Registry.Api.Policy;
using Registry.Support;

namespace Registry.Api.Tests.Policy;

public sealed class PolicyTests
{
    private static readonly PolicyTarget Image = new(new Dictionary<string, string?>
    {
        ["project_id"] = "p",
        ["visibility"] = "community",
        ["hw"] = "%(project_id)s",
        ["none"] = null,
    });

    public static TheoryData<string, bool> Rules => new()
    {
        { "", true },
        { "@", true },
        { "!", false },
        { "role:member", true },
        { "role:MEMBER", true },
        { "role:admin", false },
        { "not role:admin", true },
        { "not not role:admin", false },
        { "role:admin or role:member", true },
        { "role:member and role:admin or role:member", true },
        { "role:member and (role:admin or role:member)", true },
        { "not role:member or role:member and role:admin", false },
        { "(role:member)and(role:reader)", true },
        { "project_id:%(project_id)s", true },
        { "project_id:%(owner)s", false },
        { "project_id:%(none)s", false },
        { "project_id:p", true },
        { "user_id:u", true },
        { "tenant:%(project_id)s", true },
        { "'community':%(visibility)s", true },
        { "\"community\":%(visibility)s", true },
        { "'public':%(visibility)s", false },
        { "True:%(protected)s", false },
        { "is_admin:False", true },
        { "is_admin:True", false },
        { "domain_id:d", false },
        { "user_domain_id:ud", true },
        { "user_domain_id:%(domain)s", false },
        { "project_domain_id:pd", true },
        { "project_domain:pd", true },
        { "is_admin_project:True", true },
        { "not is_admin_project:True", false },
        { "system_scope:all", false },
        { "not system_scope:all", true },
        { "domain_id:None", true },
        { "not domain_id:None", false },
        { "project_id:None", false },
        { "domain_id:%(none)s", false }, // nothing is not the same as nothing
        { "service_roles:service", true },
        { "service_user_id:su", true },
        { "service_user_domain_id:sud", true },
        { "service_project_id:sp", true },
        { "service_project_id:p", false },
        { "service_project_domain_id:spd", true },
        { "not service_user_id:su", false },
        { "rule:context_is_admin", false },
        { "rule:default", true },
        { "'p':%(hw)s", false }, // what users wrote is not filled in again
        { "role:member AND role:reader", true }, // words have no case
    };

    [Theory]
    [MemberData(nameof(Rules))]
    public void A_rule_says_what_oslo_policy_would(string rule, bool expected)
    {
        var rules = PolicyRules.With(new Dictionary<string, string> { ["x"] = rule });
        var caller = new Caller("p", "u", IsAdmin: false)
        {
            Roles = new HashSet<string> { "member", "reader" },
            UserDomainId = "ud",
            ProjectDomainId = "pd",
            ServiceRoles = new HashSet<string> { "service" },
            Service = new CallingService("su", "sud", "sp", "spd"),
        };
        Assert.Equal(expected, rules.Find("x")!.Holds(rules, caller, Image));
    }

    [Theory]
    [InlineData("role:", "'role:' is no check; one looks like kind:match")]
    [InlineData("member", "'member' is no check; one looks like kind:match")]
    [InlineData("role:a role:b", "'role:b' is not expected here")]
    [InlineData("(role:a", "a parenthesis is not closed")]
    [InlineData("role:a)", "')' is not expected here")]
    [InlineData("role:a and", "the rule ends too early")]
    [InlineData("'a:%(b)s", "a quotation mark is not closed")]
    [InlineData("a:%(b", "a %( is not closed by )s")]
    [InlineData("http://example.org/%(a)s", "checks that ask another server are not supported")]
    [InlineData("rule:nowhere", "there is no rule 'nowhere'")]
    public void A_rule_that_cannot_be_read_says_why(string rule, string problem)
    {
        var refusal = Assert.Throws<PolicyException>(
            () => PolicyRules.With(new Dictionary<string, string> { ["x"] = rule }));
        Assert.Equal($"rule 'x': {problem}", refusal.Message);
    }

    [Theory]
    [InlineData("user:u", true)]
    [InlineData("user_name:u", false)]
    [InlineData("project_name:p", false)]
    [InlineData("not user_name:u", false)]
    [InlineData("role:member and not projct_id:%(project_id)s", false)]
    [InlineData("token.user.id:u", false)]
    [InlineData("group:admin", false)]
    [InlineData("User_Id:u", false)]
    [InlineData("ROLE:member", false)] // kinds of checks have case
    [InlineData("@ or (not unknown:x)", false)]
    public void An_attribute_that_callers_have_not_got_makes_the_file_invalid(string rule, bool isValid)
    {
        var read = Record.Exception(() => PolicyRules.With(new Dictionary<string, string> { ["x"] = rule }));
        Assert.Equal(isValid, read is null);
        if (!isValid)
        {
            Assert.StartsWith("rule 'x': a caller has no attribute '", Assert.IsType<PolicyException>(read).Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("rule:a", "@")]
    [InlineData("not rule:a", "@")]
    [InlineData("rule:b or rule:b", "not rule:a")]
    [InlineData("role:x and (rule:b or @)", "@ or rule:a")]
    public void A_rule_that_leads_to_itself_makes_the_file_invalid(string a, string b)
    {
        var refusal = Assert.Throws<PolicyException>(
            () => PolicyRules.With(new Dictionary<string, string> { ["a"] = a, ["b"] = b }));
        Assert.Contains("leads to itself", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Rules_that_refer_to_one_another_often_or_deeply_are_read_in_time()
    {
        var often = Enumerable.Range(0, 30).ToDictionary(i => $"r{i}", i => $"rule:r{i + 1} or rule:r{i + 1}");
        often["r30"] = "!";
        PolicyRules.With(often);
        var deep = Enumerable.Range(0, 40).ToDictionary(i => $"r{i}", i => $"rule:r{i + 1}");
        deep["r40"] = "@";
        Assert.Throws<PolicyException>(() => PolicyRules.With(deep));
        Assert.Throws<PolicyException>(() => PolicyRules.With(
            new Dictionary<string, string> { ["x"] = new string('(', 100) + "@" + new string(')', 100) }));
    }

    [Fact]
    public async Task A_file_replaces_rules_is_read_again_and_is_never_half_used()
    {
        using var directory = new TempDirectory();
        var path = directory.File("policy.yaml");
        await File.WriteAllTextAsync(path, "# ours\n\"publicize_image\": \"role:curator\"\n", RegistryApp.Stop);
        var time = new FakeTimeProvider();
        var engine = Engine(path, time);
        var curator = new Caller("p", "u", IsAdmin: false) { Roles = new HashSet<string> { "curator" } };
        Assert.True(engine.Allows(curator, "publicize_image", Image));
        Assert.False(engine.Allows(curator, "copy_image", Image));

        await WriteLaterAsync(path, "publicize_image: '!'\n");
        Assert.True(engine.Allows(curator, "publicize_image", Image));
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.False(engine.Allows(curator, "publicize_image", Image));

        await WriteLaterAsync(path, "publicize_image: '@'\ncopy_image: 'role:'\n");
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.False(engine.Allows(curator, "publicize_image", Image));
    }

    [Fact]
    public void Who_comes_for_the_system_or_a_domain_may_do_nothing()
    {
        var engine = Engine("", TimeProvider.System);
        var admin = engine.WithAdmin(
            new Caller("p", "u", IsAdmin: false) { Roles = new HashSet<string> { "admin", "member", "reader" } });
        Assert.True(admin.IsAdmin);
        Assert.True(engine.Allows(admin, "get_image", Image));
        Assert.True(engine.Allows(admin, "publicize_image", Image));
        foreach (var other in new[] { admin with { SystemScope = "all" }, admin with { DomainId = "default" } })
        {
            Assert.False(engine.WithAdmin(other).IsAdmin);
            Assert.False(engine.Allows(other, "get_images", PolicyTarget.None));
            Assert.False(engine.Allows(other, "get_image", Image));
            Assert.False(engine.Allows(other, "publicize_image", Image));
        }
    }

    [Theory]
    [InlineData("a: '@'\n\nb: 'role'\n", "line 3: rule 'b': 'role' is no check; one looks like kind:match.")]
    [InlineData("a: '@'\nb: 'not user_nam:x'\n", "line 2: rule 'b': a caller has no attribute 'user_nam'; the attributes are domain, domain_id, is_admin, is_admin_project, project, project_domain, project_domain_id, project_id, roles, service_project_domain_id, service_project_id, service_roles, service_user_domain_id, service_user_id, system, system_scope, tenant, tenant_id, user, user_domain, user_domain_id, user_id.")]
    [InlineData("- a\n", "line 1: it is no list of rules by name.")]
    [InlineData("a: [1]\n", "line 1: an entry must be \"name\": \"rule\".")]
    public async Task A_file_that_cannot_be_used_names_the_line(string text, string expected)
    {
        using var directory = new TempDirectory();
        var path = directory.File("policy.yaml");
        await File.WriteAllTextAsync(path, text, RegistryApp.Stop);
        var refusal = Assert.Throws<ConfigurationException>(() => Engine(path, TimeProvider.System));
        Assert.Equal($"Registry:Policy:File {path}, {expected}", refusal.Message);
    }

    private static async Task WriteLaterAsync(string path, string text)
    {
        var before = File.GetLastWriteTimeUtc(path);
        await File.WriteAllTextAsync(path, text, RegistryApp.Stop);
        File.SetLastWriteTimeUtc(path, before.AddSeconds(1));
    }

    private static PolicyEngine Engine(string path, TimeProvider time) => new(
        Options.Create(new RegistryOptions { Policy = new PolicySection { File = path } }), time,
        NullLogger<PolicyEngine>.Instance);
}
