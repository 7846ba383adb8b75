using System.Text.Json;
using Grpc.Core;
using Registry.Api.Tests.Auth;

namespace Registry.Api.Tests.Tasks;

/// <summary>The tasks of an image disclose to no other caller where bytes come from, nor which user asked.</summary>
public sealed class TaskDisclosureTests
{
    private const string Secret = "https://images.example/a-secret-place";

    public static TheoryData<string, string?> Orders => new()
    {
        { "import", $$$$"""{"method":{"name":"web-download","uri":"{{{{Secret}}}}"}}""" },
        { "locations", $$"""{"url":"{{Secret}}"}""" },
        { "tasks", null },
    };

    [Theory]
    [MemberData(nameof(Orders))]
    public async Task Others_see_no_location_and_no_user(string way, string? body)
    {
        await using var lab = await ProxyApp.StartAsync("get_image: \"\"\ntasks_api_access: \"\"\n");
        var asks = ProxyApp.Identity("owner-project", user: "asking-user");
        var id = await OrderAsync(lab, asks, way, body);
        foreach (var (caller, sees) in new[]
        {
            (asks, true), (ProxyApp.Identity("admin-project", "admin,member,reader", "an-admin"), true),
            (ProxyApp.Identity("owner-project", user: "colleague"), false),
            (ProxyApp.Identity("owner-project", "reader", "reading-colleague"), false),
        })
        {
            var tasks = await lab.DoAsync(caller, "GET", $"/v2/images/{id}/tasks");
            using var parsed = JsonDocument.Parse(tasks);
            var task = Assert.Single(parsed.RootElement.GetProperty("tasks").EnumerateArray());
            var alone = await lab.DoAsync(caller, "GET", $"/v2/tasks/{task.GetProperty("id").GetString()}");
            foreach (var text in new[] { tasks, alone })
            {
                Assert.Equal(sees, text.Contains(Secret, StringComparison.Ordinal));
                Assert.Equal(sees, text.Contains("asking-user", StringComparison.Ordinal));
            }

            Assert.Equal(id, task.GetProperty("image_id").GetString());
        }

        // A project that only sees the image sees no task of others.
        var other = ProxyApp.Identity("other-project", user: "asking-user");
        await lab.DoAsync(
            ProxyApp.Identity("a", "admin,member,reader"), "PATCH", $"/v2/images/{id}",
            """[{"op":"replace","path":"/visibility","value":"public"}]""");
        Assert.DoesNotContain(Secret, await lab.DoAsync(other, "GET", $"/v2/images/{id}/tasks"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_owner_sees_that_another_project_works_on_its_image_and_no_more()
    {
        await using var lab = await ProxyApp.StartAsync("{}");
        var owner = ProxyApp.Identity("owner-project", user: "same-user");
        var id = await lab.MakeAsync(owner, "POST", "/v2/images", """{"disk_format":"raw","container_format":"bare"}""");
        await lab.DoAsync(
            ProxyApp.Identity("admin-project", "admin,member,reader", "same-user"), "POST", $"/v2/images/{id}/import",
            $$$$"""{"method":{"name":"web-download","uri":"{{{{Secret}}}}"}}""");
        var tasks = await lab.DoAsync(owner, "GET", $"/v2/images/{id}/tasks");
        Assert.Contains("web-download", tasks, StringComparison.Ordinal);
        Assert.DoesNotContain(Secret, tasks, StringComparison.Ordinal);
        Assert.DoesNotContain("same-user", tasks, StringComparison.Ordinal);
    }

    private static async Task<string> OrderAsync(ProxyApp lab, Metadata caller, string way, string? body)
    {
        if (way == "tasks")
        {
            using var made = JsonDocument.Parse(await lab.DoAsync(
                caller, "POST", "/v2/tasks",
                $$$$"""{"type":"import","input":{"import_from":"{{{{Secret}}}}","import_from_format":"raw","image_properties":{}}}"""));
            return made.RootElement.GetProperty("image_id").GetString()!;
        }

        var id = await lab.MakeAsync(caller, "POST", "/v2/images", """{"disk_format":"raw","container_format":"bare"}""");
        await lab.DoAsync(caller, "POST", $"/v2/images/{id}/{way}", body);
        return id;
    }
}
