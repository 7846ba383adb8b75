using System.Text.Json;
using Grpc.Core;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Registry.Api.Policy;
using Registry.Api.Schemas;
using Registry.Protos.V1;
using Registry.Support;
using Caller = Registry.Api.Auth.Caller;
using Image = Registry.Storage.Domain.Image;

namespace Registry.Api.Tests.Auth;

/// <summary>Custom properties that not everybody may touch (spec/glance-v2.md, 3.6).</summary>
public sealed class PropertyProtectionTests : IDisposable
{
    private const string Rules =
        """
        # the first that matches counts
        [^licence_]
        create = admin, Billing
        read = @
        update = admin
        delete = !
        [^secret_]
        create: @
        read: admin
        update: admin
        delete: admin
        [^open_(?!not)]
        create = @
        read = @
        update = @
        delete = @
        """;

    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("licence_a", "member", false, true, false, false)]
    [InlineData("licence_a", "billing", true, true, false, false)]
    [InlineData("licence_a", "admin", true, true, true, false)]
    [InlineData("secret_a", "member", true, false, false, false)]
    [InlineData("open_a", "nothing", true, true, true, true)]
    [InlineData("open_not", "admin", false, false, false, false)]
    [InlineData("unlisted", "admin", false, false, false, false)]
    [InlineData("os_glance_import_task", "nothing", false, true, false, false)]
    public void Roles_of_the_first_rule_that_is_about_a_property_decide(
        string name, string role, bool creates, bool reads, bool updates, bool deletes)
    {
        var protections = Read(Rules);
        var caller = new Caller("p", "u", IsAdmin: false) { Roles = new HashSet<string> { role } };
        Assert.Equal(creates, Passes(() => protections.Set(caller, Empty(), name, "x")));
        Assert.Equal(updates, Passes(() => protections.Set(caller, With(name), name, "y")));
        Assert.Equal(deletes, Passes(() => protections.Remove(caller, With(name), name)));
        Assert.Equal(reads, protections.Show(caller, With(name)).FindProperty(name) is not null);
        var byService = caller with { Roles = Caller.NoRoles, ServiceRoles = caller.Roles };
        Assert.Equal(reads, protections.IsSeen(byService, name));
    }

    [Fact]
    public void Policies_can_decide_instead()
    {
        var protections = Read(
            """
            [^a$]
            create = context_is_admin
            read = @
            update = !
            delete = context_is_admin
            """,
            "policies");
        var admin = new Caller("p", "u", IsAdmin: true) { Roles = new HashSet<string> { "admin" } };
        var member = admin with { IsAdmin = false, Roles = new HashSet<string> { "member" } };
        Assert.True(Passes(() => protections.Set(admin, Empty(), "a", "x")));
        Assert.False(Passes(() => protections.Set(admin, With("a"), "a", "x")));
        Assert.True(Passes(() => protections.Remove(admin, With("a"), "a")));
        Assert.False(Passes(() => protections.Set(member, Empty(), "a", "x")));
        Assert.True(protections.IsSeen(member, "a"));
    }

    [Theory]
    [InlineData("create = @", 1, "belongs to no")]
    [InlineData("[a]\ncreate = @\nread = @\nupdate = @", 1, "who may delete")]
    [InlineData("\n[a\n", 2, "a section looks like")]
    [InlineData("[(]\n", 1, "no regular expression")]
    [InlineData("[a]\ncreate = @, !", 2, "nobody (!)")]
    [InlineData("[a]\ncreate = @\ncreate = @", 3, "there twice")]
    [InlineData("[a]\nwrite = @", 2, "'write' is not")]
    [InlineData("[a]\ncreate", 2, "'create' is not")]
    [InlineData("[a]\ncreate=@\nread=@\nupdate=@\ndelete=@\n[a]", 6, "there twice")]
    [InlineData("[a]\ncreate = no_such_rule", 2, "no policy rule", "policies")]
    [InlineData("[a]\ncreate = admin, default", 2, "not several", "policies")]
    public void A_file_that_cannot_be_used_is_refused_with_its_line(
        string rules, int line, string problem, string format = "roles")
    {
        var refused = Assert.Throws<ConfigurationException>(() => Read(rules, format));
        Assert.Contains($", line {line}: ", refused.Message, StringComparison.Ordinal);
        Assert.Contains(problem, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Http_and_grpc_show_list_create_and_change_by_the_same_rules()
    {
        var path = Path.Combine(_directory.Path, "protections.conf");
        await File.WriteAllTextAsync(path, Rules, RegistryApp.Stop);
        var app = new RegistryApp
        {
            Settings =
            {
                ["Registry:Auth:Kind"] = "proxy",
                ["Registry:PropertyProtections:File"] = path,
            },
        };
        await app.InitializeAsync();
        try
        {
            As(app, "member,reader");
            var refused = await app.SendAsync(HttpMethod.Post, "/v2/images", """{"licence_a":"x"}""");
            Assert.Equal(403, (int)refused.StatusCode);
            var id = await app.CreateAsync(extra: ""","secret_a":"1","open_a":"2" """);
            Assert.Equal("2", Text(await app.ShowAsync(id), "open_a"));
            Assert.Null(Text(await app.ShowAsync(id), "secret_a"));
            Assert.Equal(0, await CountAsync(app, "secret_a=1"));
            Assert.Equal(0, await CountAsync(app, "secret_a=2"));
            Assert.Equal(1, await CountAsync(app, "open_a=2"));
            foreach (var (patch, status) in new[]
            {
                ("""{"op":"replace","path":"/secret_a","value":"1"}""", 409),
                ("""{"op":"remove","path":"/secret_a"}""", 409),
                ("""{"op":"add","path":"/secret_a","value":"1"}""", 403),
                ("""{"op":"add","path":"/unlisted","value":"1"}""", 403),
                ("""{"op":"replace","path":"/open_a","value":"3"}""", 200),
            })
            {
                using var answer = await app.PatchAsync(id, $"[{patch}]");
                Assert.Equal((patch, status), (patch, (int)answer.StatusCode));
                Assert.DoesNotContain(
                    "\"secret_a\"", await answer.Content.ReadAsStringAsync(RegistryApp.Stop), StringComparison.Ordinal);
            }

            var images = new Protos.V1.Images.ImagesClient(app.Grpc);
            var seen = await images.GetAsync(
                new GetImageRequest { Id = id }, Headers("member,reader"), cancellationToken: RegistryApp.Stop);
            Assert.Equal(["open_a"], seen.Properties.Keys);
            var update = new UpdateImageRequest { Id = id, RemoveProperties = { "secret_a" } };
            var denied = await Assert.ThrowsAsync<RpcException>(async () => await images.UpdateAsync(
                update, Headers("member,reader"), cancellationToken: RegistryApp.Stop));
            Assert.Equal(StatusCode.PermissionDenied, denied.StatusCode);

            As(app, "admin,member,reader");
            Assert.Equal("1", Text(await app.ShowAsync(id), "secret_a"));
            Assert.Equal(1, await CountAsync(app, "secret_a=1"));
            var removed = await images.UpdateAsync(
                update, Headers("admin,member,reader"), cancellationToken: RegistryApp.Stop);
            Assert.Equal(["open_a"], removed.Properties.Keys);
        }
        finally
        {
            await app.DisposeAsync();
        }
    }

    private static void As(RegistryApp app, string roles)
    {
        foreach (var entry in Headers(roles))
        {
            app.Http.DefaultRequestHeaders.Remove(entry.Key);
            app.Http.DefaultRequestHeaders.Add(entry.Key, entry.Value);
        }
    }

    private static Metadata Headers(string roles) => new()
    {
        { "x-identity-status", "Confirmed" }, { "x-user-id", "u" }, { "x-project-id", "p" }, { "x-roles", roles },
    };

    private static string? Text(JsonElement image, string name) =>
        image.TryGetProperty(name, out var value) ? value.GetString() : null;

    private static async Task<int> CountAsync(RegistryApp app, string filter)
    {
        using var response = await app.SendAsync(HttpMethod.Get, "/v2/images?" + filter);
        return (await RegistryApp.JsonAsync(response)).GetProperty("images").GetArrayLength();
    }

    private static bool Passes(Action action)
    {
        try
        {
            action();
            return true;
        }
        catch (Storage.Domain.RegistryException e) when (e.Code == Storage.Domain.ErrorCode.Forbidden)
        {
            Assert.EndsWith("' is reserved.", e.Message, StringComparison.Ordinal);
            return false;
        }
    }

    private static Image Empty() => Image.Create(Guid.NewGuid().ToString("D"), "p", DateTimeOffset.UnixEpoch);

    private static Image With(string name)
    {
        var image = Empty();
        image.SetProperty(name, "x");
        return image;
    }

    private PropertyProtections Read(string rules, string format = "roles")
    {
        var path = Path.Combine(_directory.Path, $"{Guid.NewGuid():N}.conf");
        File.WriteAllText(path, rules);
        var options = Options.Create(new RegistryOptions
        {
            PropertyProtections = new PropertyProtectionsSection { File = path, RuleFormat = format },
        });
        return new PropertyProtections(
            options, new PolicyEngine(options, TimeProvider.System, NullLogger<PolicyEngine>.Instance),
            new CustomProperties(options));
    }
}
