using System.Text.Json;
using Grpc.Core;
using Registry.Protos.V1;

namespace Registry.Api.Tests.Auth;

/// <summary>What a rule does not let a caller look at is not there, alone and in lists.</summary>
public sealed class HiddenTests
{
    private static readonly Metadata Owner = ProxyApp.Identity("owner-project");

    [Fact]
    public async Task Images_that_the_rule_denies_are_not_there_and_not_listed()
    {
        // One image is denied by its own attribute, for everybody else in the project too.
        await using var lab = await ProxyApp.StartAsync("get_image: \"not 'secret':%(grade)s\"\n");
        var shown = new List<string>();
        var hidden = "";
        for (var i = 0; i < 5; i++)
        {
            var grade = i == 2 ? "secret" : "open";
            var id = await lab.MakeAsync(
                Owner, "POST", "/v2/images",
                $$"""{"name":"n","grade":"{{grade}}","disk_format":"raw","container_format":"bare"}""");
            if (i == 2)
            {
                hidden = id;
            }
            else
            {
                shown.Add(id);
            }
        }

        foreach (var path in new[] { "", "/members", "/members/x", "/tasks" })
        {
            Assert.Equal(404, await lab.StatusAsync(Owner, "GET", $"/v2/images/{hidden}{path}"));
        }

        Assert.Equal(404, await lab.StatusAsync(Owner, "POST", $"/v2/images/{hidden}/members", """{"member":"x"}"""));
        foreach (var limit in new[] { 1, 2, 3, 25 })
        {
            var listed = new List<string>();
            for (var next = $"/v2/images?limit={limit}&sort=created_at:asc"; next is not null;)
            {
                using var page = JsonDocument.Parse(await lab.DoAsync(Owner, "GET", next));
                Assert.DoesNotContain(hidden, page.RootElement.ToString(), StringComparison.Ordinal);
                listed.AddRange(page.RootElement.GetProperty("images").EnumerateArray().Select(i => i.GetProperty("id").GetString()!));
                next = page.RootElement.TryGetProperty("next", out var link) ? link.GetString() : null;
            }

            // As in Glance, a page of which nothing is shown is the last one.
            Assert.Equal(limit == 1 ? shown[..2] : shown, listed);
        }

        var images = new Protos.V1.Images.ImagesClient(lab.App.Grpc);
        var list = await images.ListAsync(new ListImagesRequest(), Owner, cancellationToken: RegistryApp.Stop);
        Assert.Equal(shown.Order(), list.Images.Select(image => image.Id).Order());
        var refused = await Assert.ThrowsAsync<RpcException>(() => images.GetAsync(
            new GetImageRequest { Id = hidden }, Owner, cancellationToken: RegistryApp.Stop).ResponseAsync);
        Assert.Equal(StatusCode.NotFound, refused.StatusCode);
    }

    [Fact]
    public async Task Members_that_the_rule_denies_are_not_there_and_not_listed()
    {
        await using var lab = await ProxyApp.StartAsync("get_member: \"!\"\n");
        var id = await lab.MakeAsync(Owner, "POST", "/v2/images", """{"visibility":"shared"}""");
        var members = $"/v2/images/{id}/members";
        await lab.DoAsync(Owner, "POST", members, """{"member":"member-project"}""");
        foreach (var caller in new[] { Owner, ProxyApp.Identity("member-project"), ProxyApp.Identity("a", "admin,member,reader") })
        {
            Assert.Equal(404, await lab.StatusAsync(caller, "GET", $"{members}/member-project"));
            using var list = JsonDocument.Parse(await lab.DoAsync(caller, "GET", members));
            Assert.Equal(0, list.RootElement.GetProperty("members").GetArrayLength());
        }

        Assert.Equal(403, await lab.StatusAsync(Owner, "DELETE", $"{members}/member-project"));
        Assert.Equal(403, await lab.StatusAsync(
            ProxyApp.Identity("member-project"), "PUT", $"{members}/member-project", """{"status":"accepted"}"""));
    }

    [Fact]
    public async Task Definitions_that_the_rule_denies_are_not_there()
    {
        await using var lab = await StartWithNamespaceAsync();
        foreach (var (denied, path, status) in new[]
        {
            ("get_metadef_namespace", "", 404), ("get_metadef_namespace", "/objects/o", 200),
            ("get_metadef_object", "/objects/o", 403), ("get_metadef_object get_metadef_namespace", "/objects/o", 404),
            ("get_metadef_objects get_metadef_namespace", "/objects", 404),
            ("get_metadef_property get_metadef_namespace", "/properties/p", 404),
            ("get_metadef_tag get_metadef_namespace", "/tags/t", 404), ("get_metadef_tags get_metadef_namespace", "/tags", 404),
            ("list_metadef_resource_types get_metadef_namespace", "/resource_types", 404),
            ("list_metadef_resource_types", "/resource_types", 403), ("get_metadef_objects", "", 403),
            ("list_metadef_resource_types", "", 403),
        })
        {
            await lab.UsePolicyAsync(Denying(denied));
            Assert.True(status == await lab.StatusAsync(Owner, "GET", $"/v2/metadefs/namespaces/n{path}"), $"{denied} {path}");
        }
    }

    [Fact]
    public async Task Lists_of_definitions_leave_out_what_the_rule_denies()
    {
        await using var lab = await StartWithNamespaceAsync();
        foreach (var (denied, path, member) in new[]
        {
            ("get_metadef_namespace", "", "namespaces"), ("get_metadef_object", "/n/objects", "objects"),
            ("get_metadef_property", "/n/properties", "properties"), ("get_metadef_tag", "/n/tags", "tags"),
            ("get_metadef_resource_type", "/n/resource_types", "resource_type_associations"),
        })
        {
            foreach (var (rule, count) in new[] { (denied, 0), ("get_task", 1) })
            {
                await lab.UsePolicyAsync(Denying(rule));
                using var list = JsonDocument.Parse(await lab.DoAsync(Owner, "GET", $"/v2/metadefs/namespaces{path}"));
                var items = list.RootElement.GetProperty(member);
                Assert.Equal(
                    count, items.ValueKind == JsonValueKind.Object ? items.EnumerateObject().Count() : items.GetArrayLength());
            }
        }

        await lab.UsePolicyAsync(Denying("list_metadef_resource_types"));
        Assert.Equal(403, await lab.StatusAsync(Owner, "GET", "/v2/metadefs/namespaces"));
        Assert.Equal(403, await lab.StatusAsync(Owner, "GET", "/v2/metadefs/resource_types"));
    }

    [Theory]
    [InlineData("get_image_location")]
    [InlineData("delete_image_location")]
    public async Task A_copy_is_removed_by_who_may_see_and_remove_locations(string denied)
    {
        await using var lab = await ProxyApp.StartAsync(
            $"get_image_location: \"\"\ndelete_image_location: \"\"\n{denied}: \"!\"\n".Replace(
                $"{denied}: \"\"\n", "", StringComparison.Ordinal));
        var id = await lab.MakeAsync(Owner, "POST", "/v2/images", """{"disk_format":"raw","container_format":"bare"}""");
        await lab.DoAsync(Owner, "PUT", $"/v2/images/{id}/file", "content");
        Assert.Equal(403, await lab.StatusAsync(Owner, "DELETE", $"/v2/stores/fast/{id}"));
    }

    // Denied rules, separated by blanks.
    private static string Denying(string rules) => string.Join('\n', rules.Split(' ').Select(rule => $"{rule}: \"!\""));

    private static async Task<ProxyApp> StartWithNamespaceAsync()
    {
        var lab = await ProxyApp.StartAsync("metadef_admin: \"\"\n");
        await lab.DoAsync(
            Owner, "POST", "/v2/metadefs/namespaces",
            """
            {"namespace":"n","objects":[{"name":"o"}],"tags":[{"name":"t"}],"properties":{"p":{"title":"p","type":"string"}},
             "resource_type_associations":[{"name":"T"}]}
            """);
        return lab;
    }
}
