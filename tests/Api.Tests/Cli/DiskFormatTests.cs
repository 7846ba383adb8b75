using System.Text.Json;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>The verbs on images of other formats print what qemu-img prints, byte for byte.</summary>
public sealed class DiskFormatTests : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly ExternalTool _registry = ExternalTool.Require(RegistryProcess.Executable);
    private readonly ExternalTool _qemuImg = ExternalTool.Require("qemu-img");

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("vmdk", "subformat=monolithicSparse")]
    [InlineData("vmdk", "subformat=streamOptimized")]
    [InlineData("vpc", "subformat=dynamic")]
    [InlineData("vpc", "subformat=fixed")]
    [InlineData("vhdx", "subformat=dynamic")]
    [InlineData("vdi", "static=off")]
    [InlineData("vdi", "static=on")]
    public async Task Formats_are_described_mapped_converted_and_compared(string format, string options)
    {
        var (raw, image) = (_directory.File("in.raw"), _directory.File("image"));
        await WriteDiskAsync(raw);
        await QemuAsync("convert", "-f", "raw", "-O", format, "-o", options, raw, image);
        List<string[]> verbs =
        [
            ["info", "-f", format], ["info", "-f", format, "--output=json"], ["map", "-f", format, "--output=json"],
            ["map", "-f", format, "--output=json", "-s", "70000", "-l", "100k"],
            ["compare", "-f", format, "-F", format, image],
        ];
        if (options != "subformat=fixed")
        {
            // qemu-img does not find out a fixed VHD.
            verbs.AddRange([["info"], ["info", "--output=json"], ["compare", image]]);
        }

        foreach (var verb in verbs)
        {
            string[] arguments = [.. verb, image];
            Assert.Equal(
                await QemuAsync(arguments), await _registry.OutputAsync(Stop, ["disk", .. arguments]));
        }

        var (theirs, ours) = (_directory.File("theirs"), _directory.File("ours"));
        await QemuAsync("convert", "-f", format, "-O", "raw", image, theirs);
        await _registry.OutputAsync(Stop, "disk", "convert", image, ours);
        Assert.Equal(await File.ReadAllBytesAsync(theirs, Stop), await File.ReadAllBytesAsync(ours, Stop));
        await _registry.OutputAsync(Stop, "disk", "convert", "--overwrite", "-f", format, "-O", "qcow2", "-c", image, ours);
        await QemuAsync("check", "-f", "qcow2", ours);
        await QemuAsync("compare", "-f", "qcow2", "-F", "raw", ours, theirs);
    }

    [Theory]
    [InlineData("qed", "-f", "qed")]
    [InlineData("parallels", "-f", "parallels")]
    [InlineData("luks", "-f", "luks", "--object", "secret,id=key,data=x", "-o", "key-secret=key,iter-time=10")]
    public async Task What_is_only_recognised_tells_its_format_and_size(string format, params string[] create)
    {
        var image = _directory.File("image");
        await QemuAsync(["create", "-q", .. create, image, "10M"]);
        foreach (var known in new[] { [], new[] { "-f", format } })
        {
            var told = JsonDocument.Parse(
                await _registry.OutputAsync(Stop, ["disk", "info", "--output=json", .. known, image])).RootElement;
            Assert.Equal(
                (format, 10L << 20),
                (told.GetProperty("format").GetString(), told.GetProperty("virtual-size").GetInt64()));
        }

        var refused = await _registry.RunAsync(["disk", "map", image], Stop);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("cannot be read", refused.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_only_read_is_not_changed_as_if_it_were_raw()
    {
        var image = _directory.File("image.vmdk");
        await QemuAsync("create", "-q", "-f", "vmdk", image, "10M");
        var before = await File.ReadAllBytesAsync(image, Stop);
        foreach (var arguments in new[] { new[] { "resize", image, "20M" }, ["resize", "-f", "vmdk", image, "20M"] })
        {
            var refused = await _registry.RunAsync(["disk", .. arguments], Stop);
            Assert.Equal(1, refused.ExitCode);
            Assert.Contains("vmdk", refused.Error, StringComparison.Ordinal);
        }

        Assert.Equal(before, await File.ReadAllBytesAsync(image, Stop));
    }

    private static async Task WriteDiskAsync(string path)
    {
        var random = new Random(6);
        await using var file = File.Create(path);
        file.SetLength((5 << 20) + 1536);
        foreach (var offset in new[] { 0, 1_500_000, (5 << 20) + 1000 })
        {
            var bytes = new byte[Math.Min(90_000, file.Length - offset)];
            random.NextBytes(bytes);
            file.Position = offset;
            await file.WriteAsync(bytes, Stop);
        }
    }

    private Task<string> QemuAsync(params string[] arguments) => _qemuImg.OutputAsync(Stop, arguments);
}
