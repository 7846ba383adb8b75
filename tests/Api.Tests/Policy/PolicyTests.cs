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
        { "rule:context_is_admin", false },
        { "rule:default", true },
        { "'p':%(hw)s", false }, // what users wrote is not filled in again
        { "ROLE:member AND role:reader", false }, // kinds of checks have case, words have not
    };

    [Theory]
    [MemberData(nameof(Rules))]
    public void A_rule_says_what_oslo_policy_would(string rule, bool expected)
    {
        var rules = PolicyRules.With(new Dictionary<string, string> { ["x"] = rule });
        var caller = new Caller("p", "u", IsAdmin: false) { Roles = new HashSet<string> { "member", "reader" } };
        Assert.Equal(expected, rules.Find("x")!.Holds(rules, caller, Image, depth: 0));
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

    [Fact]
    public void A_rule_that_leads_to_itself_holds_for_nobody_and_ends()
    {
        var rules = PolicyRules.With(
            new Dictionary<string, string> { ["a"] = "rule:b or rule:b", ["b"] = "not rule:a" });
        var caller = new Caller("p", "u", IsAdmin: false);
        rules.Find("a")!.Holds(rules, caller, Image, depth: 0);
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
