using System.Diagnostics;
using System.Text;
using Registry.Support;

namespace Registry.Api.Tests.Nbd;

/// <summary>One project does not take all the connections there are.</summary>
public sealed class NbdProjectLimitTests
{
    private const string Other = "other-project";
    private static readonly TimeSpan Promptly = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task A_project_has_so_many_exports_open_and_others_have_theirs()
    {
        await using var app = new NbdTicketTests.ProxyApp { Settings = { ["Registry:Nbd:ConnectionsMaxPerProject"] = "2" } };
        await app.InitializeAsync();
        var ours = await TicketAsync(app);
        using var first = await NbdWire.OpenAsync(app.Port, ours);
        var second = await NbdWire.OpenAsync(app.Port, ours);
        using var third = await NbdWire.ConnectAsync(app.Port);

        // Who only looks takes none; who is refused is told why, and may ask again.
        Assert.Equal(NbdWire.Ack, (await third.AskAsync(NbdWire.Info, [.. NbdWire.Text(ours), 0, 0]))[^1].Type);
        var refused = (await third.AskAsync(NbdWire.Go, [.. NbdWire.Text(ours), 0, 0]))[^1];
        Assert.Equal(NbdWire.Policy, refused.Type);
        Assert.Contains("2 exports open", Encoding.UTF8.GetString(refused.Data), StringComparison.Ordinal);
        using (var fourth = await NbdWire.ConnectAsync(app.Port))
        {
            await fourth.SendOptionAsync(NbdWire.ExportName, Encoding.UTF8.GetBytes(ours)); // has no answer but an export
            await Assert.ThrowsAnyAsync<IOException>(() => fourth.TakeAsync(1));
        }

        Assert.False(await IsCopiedAsync(app, ours));
        foreach (var (header, value) in NbdTicketTests.ProxyApp.Identity(Other, "member"))
        {
            app.Http.DefaultRequestHeaders.Remove(header);
            app.Http.DefaultRequestHeaders.Add(header, value);
        }

        Assert.True(await IsCopiedAsync(app, await TicketAsync(app)));
        second.Dispose();
        for (var began = Stopwatch.GetTimestamp(); !await IsCopiedAsync(app, ours);)
        {
            Assert.True(Stopwatch.GetElapsedTime(began) < Promptly, "who has gone keeps its place");
        }

        Assert.Equal(new byte[512], await first.ReadAsync(0, 512));
    }

    [Fact]
    public async Task Where_all_are_one_project_it_has_all_there_are()
    {
        await using var app = new NbdApp { Settings = { ["Registry:Nbd:ConnectionsMaxPerProject"] = "1" } };
        await app.InitializeAsync();
        var id = await app.UploadAsync(new byte[1 << 20]);
        using var first = await NbdWire.OpenAsync(app.Port, id);
        using var second = await NbdWire.OpenAsync(app.Port, id);
        Assert.Equal(new byte[512], await second.ReadAsync(0, 512));
    }

    private static async Task<bool> IsCopiedAsync(NbdApp app, string ticket) =>
        (await ExternalTool.Require("nbdcopy").RunAsync(
            ["--connections=1", app.Export(ticket), "null:"], RegistryApp.Stop)).ExitCode == 0;

    private static async Task<string> TicketAsync(NbdApp app)
    {
        var id = await app.UploadAsync(new byte[1 << 20]);
        using var response = await app.SendAsync(HttpMethod.Post, $"/registry/v1/images/{id}/nbd");
        Assert.Equal(201, (int)response.StatusCode);
        return (await RegistryApp.JsonAsync(response)).GetProperty("export").GetString()!;
    }
}
