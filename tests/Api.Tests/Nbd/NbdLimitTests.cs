using Registry.Support;

namespace Registry.Api.Tests.Nbd;

/// <summary>What clients cannot have more of: connections, time, room.</summary>
public sealed class NbdLimitTests : IAsyncLifetime
{
    private static readonly TimeSpan Promptly = TimeSpan.FromSeconds(20);
    private readonly TempDirectory _overlays = new();
    private NbdApp _app = null!;

    public async ValueTask InitializeAsync()
    {
        _app = new NbdApp
        {
            Settings =
            {
                ["Registry:Nbd:ConnectionsMax"] = "3",
                ["Registry:Nbd:HandshakesMax"] = "4",
                ["Registry:Nbd:HandshakeTimeout"] = "00:00:02",
                ["Registry:Nbd:Patience"] = "00:00:02",
                ["Registry:Nbd:OverlayDirectory"] = _overlays.Path,
                ["Registry:Nbd:OverlayMaxBytes"] = "262144",
            },
        };
        await _app.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _overlays.Dispose();
    }

    [Fact]
    public async Task Who_chooses_nothing_or_stops_amid_a_message_is_dropped_and_makes_room()
    {
        var id = await _app.UploadAsync(new byte[1 << 20]);
        using var silent = await NbdWire.ConnectAsync(_app.Port);
        using var halfWay = await NbdWire.OpenAsync(_app.Port, id + "+overlay");
        await halfWay.SendAsync(NbdWire.Write, 0, 4096, data: new byte[100]);
        using var idle = await NbdWire.OpenAsync(_app.Port, id);

        Assert.True(await silent.IsEndedAsync(Promptly));
        Assert.True(await halfWay.IsEndedAsync(Promptly));

        // Who has chosen may rest as long as it likes.
        Assert.Equal(new byte[512], await idle.ReadAsync(0, 512));
        using var next = await NbdWire.OpenAsync(_app.Port, id);
        Assert.Equal(new byte[512], await next.ReadAsync(0, 512));
    }

    [Fact]
    public async Task Connections_that_choose_nothing_keep_nobody_from_choosing()
    {
        var id = await _app.UploadAsync(new byte[1 << 20]);
        var silent = new List<NbdWire>();
        for (var i = 0; i < 20; i++)
        {
            silent.Add(await NbdWire.ConnectAsync(_app.Port)); // each is greeted, and takes the place of an older one
        }

        using (var next = await NbdWire.OpenAsync(_app.Port, id))
        {
            Assert.Equal(new byte[512], await next.ReadAsync(0, 512));
            Assert.All(silent[..^2], wire => Assert.True(wire.IsEndedAsync(Promptly).Result));
        }

        silent.ForEach(wire => wire.Dispose());
    }

    [Fact]
    public async Task One_export_more_than_there_are_places_is_refused()
    {
        var id = await _app.UploadAsync(new byte[1 << 20]);
        var open = new List<NbdWire>();
        for (var i = 0; i < 3; i++)
        {
            open.Add(await NbdWire.OpenAsync(_app.Port, id));
        }

        using (var fourth = await NbdWire.ConnectAsync(_app.Port))
        {
            Assert.Equal(NbdWire.Policy, (await fourth.AskAsync(NbdWire.Go, [.. NbdWire.Text(id), 0, 0]))[^1].Type);
        }

        open.ForEach(wire => wire.Dispose());
    }

    [Fact]
    public async Task Who_does_not_take_its_replies_is_dropped()
    {
        var content = new byte[32 << 20];
        new Random(1).NextBytes(content);
        var id = await _app.UploadAsync(content);
        using var wire = await NbdWire.OpenAsync(_app.Port, id);
        for (var i = 0; i < 8; i++)
        {
            await wire.SendAsync(NbdWire.Read, 0, 32 << 20);
        }

        await Task.Delay(TimeSpan.FromSeconds(5), RegistryApp.Stop);
        using var next = await NbdWire.OpenAsync(_app.Port, id); // the place is not taken for ever, nor are others late
        Assert.Equal(content[..4096], await next.ReadAsync(0, 4096));
        Assert.True(await wire.IsEndedAsync(Promptly));
    }

    [Fact]
    public async Task An_overlay_that_is_full_says_so_and_stays_what_it_was()
    {
        var id = await _app.UploadAsync(new byte[1 << 20]);
        using var wire = await NbdWire.OpenAsync(_app.Port, id + "+overlay");
        var data = Enumerable.Repeat((byte)7, 256 << 10).ToArray();
        Assert.Equal(0u, (await wire.RequestAsync(NbdWire.Write, 0, data.Length, 0, data)).Error);
        Assert.Equal(28u, (await wire.RequestAsync(NbdWire.Write, 512 << 10, 512, 0, new byte[512])).Error);
        Assert.Equal(28u, (await wire.RequestAsync(NbdWire.Write, (1 << 20) - 1, 512, 0, new byte[512])).Error);
        Assert.Equal((byte[])[.. data, .. new byte[768 << 10]], await wire.ReadAsync(0, 1 << 20));

        // What is given up makes room.
        Assert.Equal(0u, (await wire.RequestAsync(NbdWire.Trim, 0, 64 << 10)).Error);
        Assert.Equal(0u, (await wire.RequestAsync(NbdWire.Write, 512 << 10, 512, 0, data[..512])).Error);
        Assert.Equal(data[..512], await wire.ReadAsync(512 << 10, 512));
        Assert.Empty(Directory.GetFileSystemEntries(_overlays.Path));
    }

    [Fact]
    public async Task Tickets_are_not_taken_in_the_clear_from_far_away()
    {
        var result = await ExternalTool.At(RegistryProcess.Executable).RunAsync(
            ["serve", "--nbd"], RegistryApp.Stop,
            new Dictionary<string, string?>
            {
                ["Registry__Auth__Kind"] = "proxy",
                ["Registry__Endpoints__Nbd"] = "nbd://0.0.0.0:0",
                ["Registry__DataDirectory"] = _overlays.File("data"),
            });
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("Registry:Endpoints:Nbd is 'nbd://0.0.0.0:0'", result.Error, StringComparison.Ordinal);
    }
}
