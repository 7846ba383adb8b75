using System.Buffers.Binary;
using System.Text;
using Registry.Support;

namespace Registry.Api.Tests.Nbd;

/// <summary>TLS: what is agreed in the clear counts for nothing, and where it is required nothing is told before
/// it.</summary>
public sealed class NbdTlsTests : IDisposable
{
    private const ushort CanDontFragment = 1 << 7;
    private static readonly TimeSpan Promptly = TimeSpan.FromSeconds(20);
    private readonly NbdCertificates _certificates = new();

    public void Dispose() => _certificates.Dispose();

    [Fact]
    public async Task Clients_read_within_tls_what_they_read_without()
    {
        using var directory = new TempDirectory();
        var (image, format) = await NbdImages.MakeAsync("compressed", directory);
        await using var app = await StartAsync(isRequired: true);
        var id = await app.UploadFileAsync(image, format);
        var qemuImg = ExternalTool.Require("qemu-img");

        Assert.Contains(
            id, await ExternalTool.Require("nbdinfo").OutputAsync(
                RegistryApp.Stop, "--list", "--json", Secured(app, "", _certificates.Nameless)),
            StringComparison.Ordinal);

        var expected = directory.File("expected");
        await qemuImg.OutputAsync(RegistryApp.Stop, "convert", "-f", format, "-O", "raw", image, expected);
        var copied = directory.File("copied");
        await ExternalTool.Require("nbdcopy").OutputAsync(
            RegistryApp.Stop, "--connections=4", Secured(app, id, _certificates.Nameless), copied);
        Assert.Equal(
            await File.ReadAllBytesAsync(expected, RegistryApp.Stop),
            await File.ReadAllBytesAsync(copied, RegistryApp.Stop));

        await qemuImg.OutputAsync(
            RegistryApp.Stop, "compare", "--object", Credentials(_certificates.Nameless), "--image-opts",
            Options(app, id), $"driver={format},file.driver=file,file.filename={image}");
        Assert.DoesNotContain(
            "verification failed",
            await ExternalTool.Require("qemu-io").OutputAsync(
                RegistryApp.Stop, "--object", Credentials(_certificates.Nameless), "--image-opts",
                "-c", "write -P 0x5a 100k 3M", "-c", "read -P 0x5a 100k 3M", Options(app, id + "+overlay")),
            StringComparison.Ordinal);

        using var issued = await app.SendAsync(HttpMethod.Post, $"/registry/v1/images/{id}/nbd");
        var ticket = (await RegistryApp.JsonAsync(issued)).GetProperty("uri").GetString()!;
        Assert.StartsWith($"nbds://127.0.0.1:{app.Port}/ticket:", ticket, StringComparison.Ordinal);
        await ExternalTool.Require("nbdinfo").OutputAsync(
            RegistryApp.Stop, $"{ticket}?tls-certificates={_certificates.Nameless}");

        var inTheClear = await qemuImg.RunAsync(["info", "-f", "raw", app.Export(id)], RegistryApp.Stop);
        Assert.Equal(1, inTheClear.ExitCode);
    }

    [Fact]
    public async Task Who_has_no_certificate_of_the_authority_is_not_let_in()
    {
        await using var app = await StartAsync(isRequired: true, withClients: true);
        var id = await app.UploadAsync(new byte[1 << 20]);
        var nbdinfo = ExternalTool.Require("nbdinfo");

        Assert.Equal(
            "1048576",
            (await nbdinfo.OutputAsync(RegistryApp.Stop, "--size", Secured(app, id, _certificates.Known))).Trim());
        foreach (var directory in new[] { _certificates.Unknown, _certificates.Nameless })
        {
            var refused = await nbdinfo.RunAsync(["--size", Secured(app, id, directory)], RegistryApp.Stop);
            Assert.NotEqual(0, refused.ExitCode);
            Assert.Empty(refused.Output.Trim());
        }
    }

    [Fact]
    public async Task Nothing_is_told_before_tls_where_it_is_required()
    {
        await using var app = await StartAsync(isRequired: true);
        var id = await app.UploadAsync(new byte[4096]);
        using (var wire = await NbdWire.ConnectAsync(app.Port))
        {
            foreach (var option in new[]
            {
                NbdWire.List, NbdWire.Info, NbdWire.Go, NbdWire.Structured, NbdWire.ListMeta, NbdWire.SetMeta, 99u,
            })
            {
                var data = option is NbdWire.Info or NbdWire.Go ? (byte[])[.. NbdWire.Text(id), 0, 0] : [];
                Assert.Equal(NbdWire.TlsRequired, Assert.Single(await wire.AskAsync(option, data)).Type);
            }

            await wire.SecureAsync();
            Assert.Equal(NbdWire.Ack, (await wire.AskAsync(NbdWire.Go, [.. NbdWire.Text(id), 0, 0]))[^1].Type);
            Assert.Equal(new byte[4096], await wire.ReadAsync(0, 4096));
        }

        using (var wire = await NbdWire.ConnectAsync(app.Port))
        {
            await wire.SendOptionAsync(NbdWire.ExportName, Encoding.UTF8.GetBytes(id));
            await Assert.ThrowsAnyAsync<IOException>(() => wire.TakeAsync(1)); // it has no answer but an export
        }

        using (var wire = await NbdWire.ConnectAsync(app.Port))
        {
            Assert.Equal(NbdWire.Ack, Assert.Single(await wire.AskAsync(NbdWire.Abort, [])).Type);
            Assert.True(await wire.IsEndedAsync(Promptly));
        }
    }

    [Fact]
    public async Task What_was_agreed_in_the_clear_is_forgotten()
    {
        await using var app = await StartAsync(isRequired: false);
        var id = await app.UploadAsync(new byte[4096]);
        byte[] context = [.. NbdWire.Text(id), .. NbdWire.Big(1u), .. NbdWire.Text("base:allocation")];
        using (var clear = await NbdWire.OpenAsync(app.Port, id))
        {
            Assert.Equal(new byte[4096], await clear.ReadAsync(0, 4096)); // whoever does not want it does without
        }

        using var wire = await NbdWire.ConnectAsync(app.Port);
        Assert.Equal(NbdWire.Ack, (await wire.AskAsync(NbdWire.Structured, []))[^1].Type);
        Assert.Equal(NbdWire.Ack, (await wire.AskAsync(NbdWire.SetMeta, context))[^1].Type);
        Assert.Equal(NbdWire.Invalid, (await wire.AskAsync(NbdWire.StartTls, [1]))[^1].Type);
        await wire.SecureAsync();
        Assert.Equal(NbdWire.Invalid, (await wire.AskAsync(NbdWire.StartTls, []))[^1].Type);
        Assert.Equal(NbdWire.Invalid, (await wire.AskAsync(NbdWire.SetMeta, context))[^1].Type);
        var export = (await wire.AskAsync(NbdWire.Go, [.. NbdWire.Text(id), 0, 0]))[0].Data;
        Assert.Equal(0, BinaryPrimitives.ReadUInt16BigEndian(export.AsSpan(10)) & CanDontFragment);
        Assert.Equal(new byte[4096], await wire.ReadAsync(0, 4096)); // in a simple reply
        Assert.Equal(22u, (await wire.RequestAsync(NbdWire.Status, 0, 4096)).Error);
    }

    [Fact]
    public async Task What_is_sent_in_the_clear_behind_the_wish_for_tls_is_not_taken()
    {
        await using var app = await StartAsync(isRequired: false);
        await app.UploadAsync(new byte[4096]);
        byte[] list = [.. "IHAVEOPT"u8, .. NbdWire.Big(NbdWire.List), .. NbdWire.Big(0u)];
        byte[] startTls = [.. "IHAVEOPT"u8, .. NbdWire.Big(NbdWire.StartTls), .. NbdWire.Big(0u)];

        // Along with it, so that it is there before TLS begins: not even TLS is begun.
        using var along = await NbdWire.ConnectAsync(app.Port);
        await along.Stream.WriteAsync((byte[])[.. startTls, .. list], RegistryApp.Stop);
        await Assert.ThrowsAnyAsync<IOException>(() => along.TakeAsync(1));

        // And after it: that is no TLS.
        using var after = await NbdWire.ConnectAsync(app.Port);
        Assert.Equal(NbdWire.Ack, Assert.Single(await after.AskAsync(NbdWire.StartTls, [])).Type);
        await after.Stream.WriteAsync(list, RegistryApp.Stop);
        var answer = new byte[4096];
        var length = await ReadToEndAsync(after.Stream, answer);
        Assert.Equal(-1, answer.AsSpan(0, length).IndexOf(NbdWire.Big(0x3e889045565a9ul)));
    }

    private static async Task<int> ReadToEndAsync(Stream stream, byte[] buffer)
    {
        var length = 0;
        try
        {
            for (int read; (read = await stream.ReadAsync(buffer.AsMemory(length), RegistryApp.Stop)) > 0;)
            {
                length += read;
            }
        }
        catch (IOException)
        {
            // Dropped.
        }

        return length;
    }

    private async Task<NbdApp> StartAsync(bool isRequired, bool withClients = false)
    {
        var app = new TlsApp(_certificates.Settings(isRequired, withClients));
        await app.InitializeAsync();
        return app;
    }

    private static string Secured(NbdApp app, string name, string directory) =>
        $"nbds://127.0.0.1:{app.Port}/{name}?tls-certificates={directory}";

    private static string Credentials(string directory) => $"tls-creds-x509,id=tls0,dir={directory},endpoint=client";

    private static string Options(NbdApp app, string name) =>
        $"driver=raw,file.driver=nbd,file.server.type=inet,file.server.host=127.0.0.1,file.server.port={app.Port}," +
        $"file.export={name},file.tls-creds=tls0";

    private sealed class TlsApp(Dictionary<string, string?> settings) : NbdApp
    {
        protected override Task<Dictionary<string, string?>> SettingsAsync() => Task.FromResult(settings);
    }
}
