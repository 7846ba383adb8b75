using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Nbd;
using Registry.Storage.Domain;
using Registry.Support;

namespace Registry.Api.Tests.Nbd;

/// <summary>Where callers differ, an export is opened by a ticket: for one image, as one caller, for a while.</summary>
public sealed class NbdTicketTests(NbdTicketTests.ProxyApp app) : IClassFixture<NbdTicketTests.ProxyApp>
{
    /// <summary>Who asks, where a test says nothing.</summary>
    public const string Owner = "owner-project";

    private const string Member = "member-project";
    private static readonly TimeSpan Promptly = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task A_ticket_opens_its_image()
    {
        using var directory = new TempDirectory();
        var (image, format) = await NbdImages.MakeAsync("compressed", directory);
        var id = await app.UploadFileAsync(image, format);
        var ticket = await IssueAsync(id);
        var uri = ticket.GetProperty("uri").GetString()!;
        var name = ticket.GetProperty("export").GetString()!;
        Assert.Equal(app.Export(name), uri);
        Assert.Matches("^ticket:[A-Za-z0-9_-]{43}$", name);
        Assert.InRange(
            ticket.GetProperty("expires_at").GetDateTimeOffset() - DateTimeOffset.UtcNow,
            TimeSpan.FromMinutes(4), TimeSpan.FromMinutes(5));
        Assert.NotEqual(name, (await IssueAsync(id)).GetProperty("export").GetString());

        await ExternalTool.Require("qemu-img").OutputAsync(
            RegistryApp.Stop, "compare", "-f", "raw", "-F", format, uri, image);
        var copied = directory.File("copied");
        await ExternalTool.Require("nbdcopy").OutputAsync(RegistryApp.Stop, "--connections=4", uri, copied);
        await ExternalTool.Require("qemu-img").OutputAsync(
            RegistryApp.Stop, "compare", "-f", "raw", "-F", format, copied, image);
        using var info = JsonDocument.Parse(
            await ExternalTool.Require("nbdinfo").OutputAsync(RegistryApp.Stop, "--json", uri));
        Assert.True(info.RootElement.GetProperty("exports")[0].GetProperty("is_read_only").GetBoolean());
    }

    [Fact]
    public async Task A_ticket_for_an_overlay_can_be_written_to()
    {
        var id = await app.UploadAsync(new byte[1 << 20]);
        var uri = (await IssueAsync(id, """{"overlay":true}""")).GetProperty("uri").GetString()!;
        Assert.DoesNotContain(
            "verification failed",
            await ExternalTool.Require("qemu-io").OutputAsync(
                RegistryApp.Stop, "-f", "raw", "-c", "write -P 7 4k 100k", "-c", "read -P 7 4k 100k",
                "-c", "read -P 0 104k 900k", uri),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_a_ticket_nothing_is_listed_or_opened()
    {
        var id = await app.UploadAsync(new byte[1 << 20], name: "known-by-name");
        using (var wire = await NbdWire.ConnectAsync(app.Port))
        {
            Assert.Equal(NbdWire.Policy, Assert.Single(await wire.AskAsync(NbdWire.List, [])).Type);
            foreach (var name in new[] { id, "known-by-name", id + "+overlay", "nothing", "" })
            {
                Assert.Equal(NbdWire.Policy, await GoAsync(wire, name));
            }

            Assert.Equal(NbdWire.Ack, (await wire.AskAsync(NbdWire.Structured, []))[^1].Type);
            Assert.Equal(
                NbdWire.Policy,
                (await wire.AskAsync(NbdWire.SetMeta, [.. NbdWire.Text(id), 0, 0, 0, 0]))[^1].Type);
            var ticket = (await IssueAsync(id)).GetProperty("export").GetString()!;
            foreach (var wrong in new[]
            {
                "ticket:", "ticket:" + new string('A', 43), ticket[..^1], ticket + "A", ticket + "+overlay",
                ticket.ToUpperInvariant().Replace("TICKET", "ticket", StringComparison.Ordinal),
            })
            {
                Assert.Equal(NbdWire.Unknown, await GoAsync(wire, wrong));
            }

            Assert.Equal(NbdWire.Ack, await GoAsync(wire, ticket));
        }

        using (var wire = await NbdWire.ConnectAsync(app.Port))
        {
            await wire.SendOptionAsync(NbdWire.ExportName, Encoding.UTF8.GetBytes(id));
            Assert.True(await wire.IsEndedAsync(Promptly));
        }
    }

    [Fact]
    public async Task A_ticket_is_judged_again_when_it_is_opened()
    {
        var id = await app.UploadAsync(new byte[512]);
        using var shared = await app.SendAsync(
            HttpMethod.Post, $"/v2/images/{id}/members", $$"""{"member":"{{Member}}"}""");
        Assert.Equal(200, (int)shared.StatusCode);
        var own = (await IssueAsync(id)).GetProperty("export").GetString()!;
        var members = (await IssueAsync(id, project: Member)).GetProperty("export").GetString()!;
        using var wire = await NbdWire.ConnectAsync(app.Port);

        using var removed = await app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}/members/{Member}");
        Assert.Equal(204, (int)removed.StatusCode);
        Assert.Equal(NbdWire.Unknown, await GoAsync(wire, members));

        using var deactivated = await SendAsync(
            "admin-project", "admin", $"/v2/images/{id}/actions/deactivate", body: null);
        Assert.Equal(204, (int)deactivated.StatusCode);
        Assert.Equal(NbdWire.Policy, await GoAsync(wire, own));

        using var deleted = await app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}");
        Assert.Equal(204, (int)deleted.StatusCode);

        // Not even an image that is called what it was: a ticket is for one image.
        await app.UploadAsync(new byte[1024], name: id);
        Assert.Equal(NbdWire.Unknown, await GoAsync(wire, own));
    }

    [Fact]
    public async Task What_cannot_be_ordered_is_refused()
    {
        var id = await app.UploadAsync(new byte[512]);
        foreach (var body in new[] { "[]", """{"overlay":"yes"}""", """{"overlays":true}""", "{" })
        {
            using var response = await SendAsync(Owner, "member", $"/registry/v1/images/{id}/nbd", body);
            Assert.Equal(400, (int)response.StatusCode);
        }

        using var foreign = await SendAsync("other-project", "member", $"/registry/v1/images/{id}/nbd", body: null);
        Assert.Equal(404, (int)foreign.StatusCode);
        var queued = await app.CreateAsync();
        using var empty = await SendAsync(Owner, "member", $"/registry/v1/images/{queued}/nbd", body: null);
        Assert.Equal(409, (int)empty.StatusCode);
    }

    [Fact]
    public async Task Where_nbd_is_not_served_there_are_no_tickets()
    {
        await using var other = new RegistryApp();
        await other.InitializeAsync();
        var id = await other.UploadAsync(new byte[512]);
        using var response = await other.SendAsync(HttpMethod.Post, $"/registry/v1/images/{id}/nbd");
        Assert.Equal(409, (int)response.StatusCode);
    }

    [Fact]
    public void Tickets_run_out_and_are_bounded()
    {
        var clock = new SteppedTime(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
        var tickets = new NbdTickets(
            clock, Options.Create(new RegistryOptions { Nbd = new() { TicketLife = TimeSpan.FromMinutes(1) } }));
        var permit = new NbdPermit(new Caller("one", "user", IsAdmin: false), "image", IsById: true, IsOverlay: false);
        var (first, _) = tickets.Issue(permit);
        clock.Advance(TimeSpan.FromSeconds(30));
        clock.Step(TimeSpan.FromDays(1)); // of the wall clock, which says nothing of the ticket's age
        Assert.Same(permit, tickets.Find(first));
        for (var i = 1; i < 1024; i++)
        {
            tickets.Issue(permit);
        }

        Assert.Equal(ErrorCode.Busy, Assert.Throws<RegistryException>(() => tickets.Issue(permit)).Code);
        var other = permit with { Caller = new Caller("other", "user", IsAdmin: false) };
        Assert.Same(other, tickets.Find(tickets.Issue(other).Name)); // one project leaves room for others

        clock.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(ErrorCode.NotFound, Assert.Throws<RegistryException>(() => tickets.Find(first)).Code);
        Assert.Same(permit, tickets.Find(tickets.Issue(permit).Name));
    }

    private async Task<JsonElement> IssueAsync(string id, string? body = null, string project = Owner)
    {
        using var response = await SendAsync(project, "member", $"/registry/v1/images/{id}/nbd", body);
        Assert.Equal(201, (int)response.StatusCode);
        return await RegistryApp.JsonAsync(response);
    }

    private async Task<HttpResponseMessage> SendAsync(string project, string role, string path, string? body)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path);
        foreach (var (header, value) in ProxyApp.Identity(project, role))
        {
            request.Headers.Add(header, value);
        }

        request.Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json");
        return await app.Http.SendAsync(request, RegistryApp.Stop);
    }

    private static async Task<uint> GoAsync(NbdWire wire, string name) =>
        (await wire.AskAsync(NbdWire.Go, [.. NbdWire.Text(name), 0, 0]))[^1].Type;

    /// <summary>A registry behind a proxy that says who asks: the owner, where a test says nothing.</summary>
    public sealed class ProxyApp : NbdApp
    {
        /// <summary>What a proxy says of a caller.</summary>
        public static (string Header, string Value)[] Identity(string project, string role) =>
        [
            ("X-Identity-Status", "Confirmed"), ("X-User-Id", "user"), ("X-Project-Id", project),
            ("X-Roles", role + ",reader"),
        ];

        /// <inheritdoc/>
        public override async ValueTask InitializeAsync()
        {
            await base.InitializeAsync();
            foreach (var (header, value) in Identity(Owner, "member"))
            {
                Http.DefaultRequestHeaders.Add(header, value);
            }
        }

        /// <inheritdoc/>
        protected override Task<Dictionary<string, string?>> SettingsAsync() => Task.FromResult(
            new Dictionary<string, string?>(NbdSettings()) { ["Registry:Auth:Kind"] = "proxy" });
    }
}
