using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Registry.Support;

namespace Registry.Api.Tests.Nbd;

/// <summary>An overlay becomes a new image when its client says that it is done, and only then.</summary>
public sealed class NbdKeepTests(NbdApp app) : IClassFixture<NbdApp>
{
    private static readonly TimeSpan Promptly = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData("raw", "raw")]
    [InlineData("zeroes", "qcow2")]
    [InlineData("compressed", "qcow2")]
    [InlineData("zstd", "qcow2")]
    public async Task What_a_client_wrote_is_a_new_image_and_the_image_is_what_it_was(string form, string kept)
    {
        using var directory = new TempDirectory();
        var (image, format) = await NbdImages.MakeAsync(form, directory);
        var id = await app.UploadFileAsync(image, format);
        var (qemuImg, qemuIo) = (ExternalTool.Require("qemu-img"), ExternalTool.Require("qemu-io"));
        var name = $"kept-{Guid.NewGuid():N}";
        string[] changes =
        [
            .. new[]
            {
                "write -P 0x5a 100k 300k", "write -P 0x5b 1049600 513", "write -z 3M 200k", "discard 4M 1M",
                "write -P 0x5c 12280k 10k", "write -P 0 0 64k",
            }.SelectMany(change => new[] { "-c", change }),
        ];
        await qemuIo.OutputAsync(RegistryApp.Stop, ["-f", "raw", .. changes, app.Export($"{id}+overlay={name}")]);

        var made = await FindAsync(app, name);
        Assert.Equal(
            (kept, "bare", "private"),
            (made.GetProperty("disk_format").GetString(), made.GetProperty("container_format").GetString(),
                made.GetProperty("visibility").GetString()));
        var expected = directory.File("expected");
        await qemuImg.OutputAsync(RegistryApp.Stop, "convert", "-f", format, "-O", "raw", image, expected);
        await qemuIo.OutputAsync(RegistryApp.Stop, ["-f", "raw", .. changes, expected]);
        var disk = await app.Http.GetByteArrayAsync(
            $"/registry/v1/images/{made.GetProperty("id").GetString()}/disk", RegistryApp.Stop);
        var wanted = await File.ReadAllBytesAsync(expected, RegistryApp.Stop);
        Assert.True(disk.AsSpan().SequenceEqual(wanted));
        if (kept == "qcow2")
        {
            var stored = directory.File("stored");
            await File.WriteAllBytesAsync(
                stored,
                await app.Http.GetByteArrayAsync(
                    $"/v2/images/{made.GetProperty("id").GetString()}/file", RegistryApp.Stop),
                RegistryApp.Stop);
            await qemuImg.OutputAsync(RegistryApp.Stop, "check", "-f", "qcow2", stored);
            Assert.InRange(new FileInfo(stored).Length, 0, 8 << 20); // what is not allocated is not stored
        }

        await qemuImg.OutputAsync(RegistryApp.Stop, "compare", "-f", "raw", "-F", format, app.Export(id), image);
    }

    [Fact]
    public async Task Who_breaks_off_or_changed_nothing_leaves_nothing()
    {
        var id = await app.UploadAsync(new byte[1 << 20]);
        var files = (await app.StoredFilesAsync()).Count;
        var (cut, unchanged, done) = ($"cut-{id}", $"unchanged-{id}", $"done-{id}");
        using (var wire = await NbdWire.OpenAsync(app.Port, $"{id}+overlay={cut}"))
        {
            Assert.Equal(0u, (await wire.RequestAsync(NbdWire.Write, 0, 512, 0, new byte[512])).Error);
        }

        using (var wire = await NbdWire.OpenAsync(app.Port, $"{id}+overlay={cut}"))
        {
            Assert.Equal(0u, (await wire.RequestAsync(NbdWire.Write, 0, 512, 0, new byte[512])).Error);
            await wire.SendAsync(NbdWire.Write, 0, 512, 0, new byte[100]); // and no more of it
        }

        using (var wire = await NbdWire.OpenAsync(app.Port, $"{id}+overlay={unchanged}"))
        {
            Assert.Equal(new byte[512], await wire.ReadAsync(0, 512));
            await EndAsync(wire);
        }

        Assert.Equal(files, (await app.StoredFilesAsync()).Count);

        // The connection's end tells that the image is there.
        using (var wire = await NbdWire.OpenAsync(app.Port, $"{id}+overlay={done}"))
        {
            Assert.Equal(0u, (await wire.RequestAsync(NbdWire.Write, 512, 512, 0, Filled(512))).Error);
            await EndAsync(wire);
        }

        Assert.Equal("active", Assert.Single(await ListAsync(app, done)).GetProperty("status").GetString());
        Assert.Empty(await ListAsync(app, cut));
        Assert.Empty(await ListAsync(app, unchanged));
    }

    [Fact]
    public async Task A_client_that_goes_with_its_last_word_is_heard()
    {
        var id = await app.UploadAsync(new byte[1 << 20]);
        for (var i = 0; i < 20; i++)
        {
            using var wire = await NbdWire.OpenAsync(app.Port, $"{id}+overlay=last-{i}-{id}");
            Assert.Equal(0u, (await wire.RequestAsync(NbdWire.Write, 0, 512, 0, Filled(512))).Error);
            await wire.SendAsync(NbdWire.Disconnect, 0, 0);
        }

        for (var i = 0; i < 20; i++)
        {
            await FindAsync(app, $"last-{i}-{id}");
        }
    }

    [Fact]
    public async Task A_name_that_no_image_can_have_is_refused_before_anything_is_written()
    {
        var id = await app.UploadAsync(new byte[512]);
        using var wire = await NbdWire.ConnectAsync(app.Port);
        foreach (var name in new[] { "", new string('n', 256) })
        {
            var answer = (await wire.AskAsync(NbdWire.Go, [.. NbdWire.Text($"{id}+overlay={name}"), 0, 0]))[^1];
            Assert.Equal(NbdWire.Unknown, answer.Type);
            Assert.Contains("name", Encoding.UTF8.GetString(answer.Data), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task What_there_is_no_room_for_leaves_nothing()
    {
        await using var small = new NbdApp { Settings = { ["Registry:Limits:ProjectBytes"] = "1500000" } };
        await small.InitializeAsync();
        var id = await small.UploadAsync(new byte[1 << 20]);
        var files = (await small.StoredFilesAsync()).Count;
        using (var wire = await NbdWire.OpenAsync(small.Port, $"{id}+overlay=too-much"))
        {
            Assert.Equal(0u, (await wire.RequestAsync(NbdWire.Write, 0, 512, 0, Filled(512))).Error);
            await EndAsync(wire);
        }

        Assert.Empty(await ListAsync(small, "too-much"));
        Assert.Equal(files, (await small.StoredFilesAsync()).Count);
    }

    [Fact]
    public async Task Damage_of_the_image_is_no_part_of_a_new_one()
    {
        const int damaged = 3 << 20;
        var content = new byte[4 << 20];
        new Random(5).NextBytes(content);
        var id = await app.UploadAsync(content);
        await app.FlipByteAsync(id, damaged + 100);
        var files = (await app.StoredFilesAsync()).Count;
        using (var wire = await NbdWire.OpenAsync(app.Port, $"{id}+overlay=damaged-{id}"))
        {
            Assert.Equal(0u, (await wire.RequestAsync(NbdWire.Write, 0, 512, 0, Filled(512))).Error);
            await EndAsync(wire);
        }

        Assert.Empty(await ListAsync(app, $"damaged-{id}"));
        Assert.Equal(files, (await app.StoredFilesAsync()).Count);

        // What is written over is not read.
        var replaced = Filled(64 << 10);
        using (var wire = await NbdWire.OpenAsync(app.Port, $"{id}+overlay=mended-{id}"))
        {
            Assert.Equal(0u, (await wire.RequestAsync(NbdWire.Write, damaged, 64 << 10, 0, replaced)).Error);
            await EndAsync(wire);
        }

        var made = Assert.Single(await ListAsync(app, $"mended-{id}"));
        replaced.CopyTo(content, damaged);
        Assert.Equal(content, await app.Http.GetByteArrayAsync(
            $"/registry/v1/images/{made.GetProperty("id").GetString()}/disk", RegistryApp.Stop));
    }

    [Fact]
    public async Task A_server_that_stops_leaves_no_half_of_an_image()
    {
        var content = new byte[48 << 20];
        new Random(4).NextBytes(content);
        await using var stopped = new NbdApp();
        await stopped.InitializeAsync();
        var id = await stopped.UploadAsync(content);
        using var wire = await NbdWire.OpenAsync(stopped.Port, $"{id}+overlay=half");
        Assert.Equal(0u, (await wire.RequestAsync(NbdWire.Write, 0, 512, 0, Filled(512))).Error);
        await wire.SendAsync(NbdWire.Disconnect, 0, 0);
        for (var waited = 0; (await ListAsync(stopped, "half")).Count == 0 && waited < 2000; waited++)
        {
            await Task.Delay(10, RegistryApp.Stop);
        }

        stopped.Services.GetRequiredService<IHostApplicationLifetime>().StopApplication();
        Assert.True(await wire.IsEndedAsync(Promptly));

        // It was in time, or there is nothing.
        Assert.All(
            await ListAsync(stopped, "half"), image => Assert.Equal("active", image.GetProperty("status").GetString()));
    }

    [Fact]
    public async Task A_tickets_overlay_becomes_its_callers_image()
    {
        await using var proxied = new NbdTicketTests.ProxyApp();
        await proxied.InitializeAsync();
        var id = await proxied.UploadAsync(new byte[1 << 20]);
        foreach (var wrong in new[]
        {
            """{"overlay":false,"keep_as":"x"}""", """{"keep_as":""}""", """{"keep_as":7}""",
            $$"""{"keep_as":"{{new string('n', 256)}}"}""",
        })
        {
            using var refused = await proxied.SendAsync(HttpMethod.Post, $"/registry/v1/images/{id}/nbd", wrong);
            Assert.Equal(400, (int)refused.StatusCode);
        }

        using var issued = await proxied.SendAsync(
            HttpMethod.Post, $"/registry/v1/images/{id}/nbd", """{"keep_as":"of the ticket"}""");
        var uri = (await RegistryApp.JsonAsync(issued)).GetProperty("uri").GetString()!;
        await ExternalTool.Require("qemu-io").OutputAsync(RegistryApp.Stop, "-f", "raw", "-c", "write -P 7 0 4k", uri);
        var made = await FindAsync(proxied, "of the ticket");
        Assert.Equal(NbdTicketTests.Owner, made.GetProperty("owner").GetString());
        var disk = await proxied.Http.GetByteArrayAsync(
            $"/registry/v1/images/{made.GetProperty("id").GetString()}/disk", RegistryApp.Stop);
        Assert.Equal((byte[])[.. Enumerable.Repeat((byte)7, 4096), .. new byte[(1 << 20) - 4096]], disk);
    }

    private static byte[] Filled(int length) => [.. Enumerable.Repeat((byte)9, length)];

    private static async Task EndAsync(NbdWire wire)
    {
        await wire.SendAsync(NbdWire.Disconnect, 0, 0);
        Assert.True(await wire.IsEndedAsync(Promptly));
    }

    /// <summary>Waits for an image to be there.</summary>
    private static async Task<JsonElement> FindAsync(NbdApp app, string name)
    {
        for (var waited = 0; waited < 600; waited++)
        {
            if (await ListAsync(app, name) is [var image, ..] && image.GetProperty("status").GetString() == "active")
            {
                return image;
            }

            await Task.Delay(100, RegistryApp.Stop);
        }

        Assert.Fail($"There is no image '{name}'.");
        return default;
    }

    private static async Task<List<JsonElement>> ListAsync(NbdApp app, string name)
    {
        var list = await app.Http.GetFromJsonAsync<JsonElement>(
            $"/v2/images?name={Uri.EscapeDataString(name)}", RegistryApp.Stop);
        return [.. list.GetProperty("images").EnumerateArray()];
    }
}
