using System.Text.Json;
using Registry.Support;

namespace Registry.Api.Tests.Nbd;

/// <summary>QEMU's and libnbd's clients read exports as they read the images themselves.</summary>
public sealed class NbdClientsTests(NbdApp app) : IClassFixture<NbdApp>
{
    private readonly ExternalTool _qemuImg = ExternalTool.Require("qemu-img");

    public static TheoryData<string> Forms => ["raw", "qcow2", "zeroes", "small", "compressed", "zstd"];

    [Theory]
    [MemberData(nameof(Forms))]
    public async Task An_export_is_the_image(string form)
    {
        using var directory = new TempDirectory();
        var (image, format) = await NbdImages.MakeAsync(form, directory);
        var export = app.Export(await app.UploadFileAsync(image, format));

        await _qemuImg.OutputAsync(RegistryApp.Stop, "compare", "-f", "raw", "-F", format, export, image);
        Assert.Equal(await MapAsync(image, format), await MapAsync(export, "raw"));

        var expected = directory.File("expected");
        await _qemuImg.OutputAsync(RegistryApp.Stop, "convert", "-f", format, "-O", "raw", image, expected);
        var content = await File.ReadAllBytesAsync(expected, RegistryApp.Stop);
        var converted = directory.File("converted");
        await _qemuImg.OutputAsync(RegistryApp.Stop, "convert", "-f", "raw", "-O", "raw", export, converted);
        Assert.Equal(content, await File.ReadAllBytesAsync(converted, RegistryApp.Stop));

        var copied = directory.File("copied");
        await ExternalTool.Require("nbdcopy").OutputAsync(
            RegistryApp.Stop, "--connections=4", "--requests=16", export, copied);
        Assert.Equal(content, await File.ReadAllBytesAsync(copied, RegistryApp.Stop));
    }

    [Fact]
    public async Task An_export_says_what_it_is()
    {
        var name = $"named {Guid.NewGuid():N}";
        var id = await app.UploadAsync(new byte[1 << 20], name: name);
        var nbdinfo = ExternalTool.Require("nbdinfo");

        var info = JsonDocument.Parse(
            await nbdinfo.OutputAsync(RegistryApp.Stop, "--json", app.Export(id))).RootElement;
        Assert.Equal("newstyle-fixed", info.GetProperty("protocol").GetString());
        Assert.True(info.GetProperty("structured").GetBoolean());
        var export = Assert.Single(info.GetProperty("exports").EnumerateArray());
        Assert.Equal(id, export.GetProperty("export-name").GetString());
        Assert.Equal(name, export.GetProperty("description").GetString());
        Assert.Equal(1 << 20, export.GetProperty("export-size").GetInt64());
        Assert.Equal("base:allocation", Assert.Single(export.GetProperty("contexts").EnumerateArray()).GetString());
        Assert.Equal(
            (true, true, true, false, false),
            (Is("is_read_only"), Is("can_multi_conn"), Is("can_df"), Is("can_trim"), Is("can_zero")));
        Assert.Equal(
            (1L, 64L << 10, 32L << 20), (Size("minimum"), Size("preferred"), Size("maximum")));

        using var byName = JsonDocument.Parse(
            await nbdinfo.OutputAsync(RegistryApp.Stop, "--json", app.Export(Uri.EscapeDataString(name))));
        Assert.Equal(1 << 20, byName.RootElement.GetProperty("exports")[0].GetProperty("export-size").GetInt64());
        Assert.Contains(
            id, await nbdinfo.OutputAsync(RegistryApp.Stop, "--list", "--json", app.Export("")), StringComparison.Ordinal);

        bool Is(string property) => export.GetProperty(property).GetBoolean();
        long Size(string bound) => export.GetProperty($"block_size_{bound}").GetInt64();
    }

    [Fact]
    public async Task A_name_that_two_images_have_and_one_that_none_has_are_refused_with_a_reason()
    {
        var name = $"twice-{Guid.NewGuid():N}";
        await app.UploadAsync(new byte[512], name: name);
        await app.UploadAsync(new byte[512], name: name);
        var queued = await app.CreateAsync();

        Assert.Contains("Several images are named", await RefusalAsync(name), StringComparison.Ordinal);
        Assert.Contains("No image has the id or the name", await RefusalAsync("nothing"), StringComparison.Ordinal);
        Assert.Contains("has no data", await RefusalAsync(queued), StringComparison.Ordinal);

        async Task<string> RefusalAsync(string export)
        {
            var result = await _qemuImg.RunAsync(["info", "-f", "raw", app.Export(export)], RegistryApp.Stop);
            Assert.Equal(1, result.ExitCode);
            return result.Error;
        }
    }

    [Theory]
    [InlineData("qcow2")]
    [InlineData("compressed")]
    public async Task An_overlay_is_written_read_and_lost(string form)
    {
        using var directory = new TempDirectory();
        var (image, format) = await NbdImages.MakeAsync(form, directory);
        var id = await app.UploadFileAsync(image, format);
        var qemuIo = ExternalTool.Require("qemu-io");

        var changes = new[]
        {
            "write -P 0x5a 100k 300k", "write -P 0x5b 1049600 513", "write -z 3M 200k", "discard 4M 1M",
            "write -P 0x5c 12280k 10k", "flush",
        };
        var output = await qemuIo.OutputAsync(
            RegistryApp.Stop,
            [
                "-f", "raw", .. changes.SelectMany(change => new[] { "-c", change }),
                "-c", "read -P 0x5a 100k 300k", "-c", "read -P 0x5b 1049600 513", "-c", "read -P 0 3M 200k",
                "-c", "read -P 0x5c 12280k 10k", app.Export(id + "+overlay"),
            ]);
        Assert.DoesNotContain("verification failed", output, StringComparison.Ordinal);

        await _qemuImg.OutputAsync(
            RegistryApp.Stop, "compare", "-f", "raw", "-F", format, app.Export(id + "+overlay"), image);

        var refused = await qemuIo.RunAsync(["-f", "raw", "-c", "write 0 512", app.Export(id)], RegistryApp.Stop);
        Assert.NotEqual(0, refused.ExitCode);
    }

    [Fact]
    public async Task Damage_is_an_error_where_it_is_and_nowhere_else()
    {
        var content = new byte[4 << 20];
        new Random(3).NextBytes(content);
        var id = await app.UploadAsync(content);
        await app.FlipByteAsync(id, (2 << 20) + 70_000);
        var qemuIo = ExternalTool.Require("qemu-io");

        var all = await qemuIo.RunAsync(["-r", "-f", "raw", "-c", "read 0 4M", app.Export(id)], RegistryApp.Stop);
        Assert.Contains("Input/output error", all.Output + all.Error, StringComparison.Ordinal);
        foreach (var around in new[] { "read 0 2162688", "read 2228224 1966080" })
        {
            var result = await qemuIo.RunAsync(["-r", "-f", "raw", "-c", around, app.Export(id)], RegistryApp.Stop);
            Assert.DoesNotContain("error", result.Output + result.Error, StringComparison.OrdinalIgnoreCase);
            Assert.Equal(0, result.ExitCode);
        }
    }

    [Fact]
    public async Task Clients_at_once_all_read_the_image()
    {
        using var directory = new TempDirectory();
        var (image, format) = await NbdImages.MakeAsync("compressed", directory);
        var export = app.Export(await app.UploadFileAsync(image, format));

        await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => _qemuImg.OutputAsync(
            RegistryApp.Stop, "compare", "-f", "raw", "-F", format, export, image)));
    }

    /// <summary>What qemu-img says of a disk, in terms of data and zeroes.</summary>
    private async Task<List<(long Start, long End, bool IsData, bool IsZero)>> MapAsync(string path, string format)
    {
        var runs = new List<(long Start, long End, bool IsData, bool IsZero)>();
        using var map = JsonDocument.Parse(
            await _qemuImg.OutputAsync(RegistryApp.Stop, "map", "--output=json", "-f", format, path));
        foreach (var run in map.RootElement.EnumerateArray())
        {
            var start = run.GetProperty("start").GetInt64();
            var end = start + run.GetProperty("length").GetInt64();
            var (isData, isZero) = (run.GetProperty("data").GetBoolean(), run.GetProperty("zero").GetBoolean());
            if (runs.Count > 0 && runs[^1].IsData == isData && runs[^1].IsZero == isZero)
            {
                start = runs[^1].Start;
                runs.RemoveAt(runs.Count - 1);
            }

            runs.Add((start, end, isData, isZero));
        }

        return runs;
    }
}
