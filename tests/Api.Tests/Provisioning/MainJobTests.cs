using System.Security.Cryptography;
using System.Text.Json;
using Registry.Engine.Bytes;
using Registry.Support;

namespace Registry.Api.Tests.Provisioning;

/// <summary>The main job with the built program and real disks: push, provision, grow, pull.</summary>
public sealed class MainJobTests : IAsyncLifetime
{
    private const long TwelveGibibytes = 12L << 30;
    private readonly TempDirectory _directory = new();
    private readonly ExternalTool _registry = ExternalTool.Require(RegistryProcess.Executable);
    private readonly ExternalTool _qemuImg = ExternalTool.Require("qemu-img");
    private RegistryProcess _server = null!;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _server = await RegistryProcess.StartAsync(_directory.Path, Stop);

    public async ValueTask DisposeAsync()
    {
        await _server.StopAsync();
        await _server.DisposeAsync();
        _directory.Dispose();
    }

    [Theory]
    [InlineData(DiskImageForm.Raw)]
    [InlineData(DiskImageForm.Qcow2Version2)]
    [InlineData(DiskImageForm.Qcow2Version3)]
    [InlineData(DiskImageForm.Qcow2Deflate)]
    [InlineData(DiskImageForm.Qcow2Zstd)]
    public async Task A_stored_image_becomes_a_disk_from_its_allocated_clusters_only(DiskImageForm form)
    {
        var original = await DiskImageFactory.GetAsync(DiskRecipe.OfThisRun, form, Stop);
        var format = form == DiskImageForm.Raw ? "raw" : "qcow2";
        var id = (await RunAsync("push", original, "--name", "disk", "--quiet")).Trim();

        var raw = _directory.File("disk.raw");
        var moved = await ProvisionAsync(id, raw);
        await ExpectSameAsync(original, format, raw, "raw");
        Assert.InRange(moved.Read, 1, (long)(moved.Stored * 1.05));
        await ExpectSparseAsync(raw, moved.Allocated);

        var grown = _directory.File("grown.raw");
        Assert.Equal(TwelveGibibytes, (await ProvisionAsync(id, grown, "--size", "12G")).Size);
        Assert.Equal(TwelveGibibytes, new FileInfo(grown).Length);
        await ExpectSameAsync(original, format, grown, "raw");

        var qcow2 = _directory.File("grown.qcow2");
        Assert.Equal(TwelveGibibytes, (await ProvisionAsync(id, qcow2, "--size", "12G", "--format", "qcow2")).Size);
        await _qemuImg.OutputAsync(Stop, "check", "-f", "qcow2", qcow2);
        await ExpectSameAsync(original, format, qcow2, "qcow2");

        var pulled = _directory.File("pulled");
        await RunAsync("pull", id, "--to", pulled);
        var image = JsonDocument.Parse(await RunAsync("show", id, "--output", "json")).RootElement;
        Assert.Equal(await DigestAsync(original, SHA512.HashDataAsync), image.GetProperty("os_hash_value").GetString());
        Assert.Equal(await DigestAsync(original, MD5.HashDataAsync), image.GetProperty("checksum").GetString());
        Assert.Equal(image.GetProperty("os_hash_value").GetString(), await DigestAsync(pulled, SHA512.HashDataAsync));
    }

    [Fact]
    public async Task A_provision_that_is_refused_leaves_no_file_and_one_line()
    {
        var small = _directory.File("small.raw");
        await File.WriteAllBytesAsync(small, new byte[1 << 20], Stop);
        await RunAsync("push", small, "--name", "small");
        var refused = await InvokeAsync("provision", "small", "--to", _directory.File("out"), "--size", "1k");
        Assert.Equal(1, refused.ExitCode);
        Assert.Equal(
            "registry: The disk wanted (1024 bytes) is smaller than the image's (1048576 bytes). (size_too_small)\n",
            refused.Error);
        Assert.DoesNotContain(
            Directory.GetFiles(_directory.Path), f => Path.GetFileName(f).Contains("out", StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_existing_file_is_replaced_and_a_name_that_is_not_unique_is_refused()
    {
        var content = _directory.File("content");
        await File.WriteAllBytesAsync(content, [1, 2, 3], Stop);
        var target = _directory.File("target");
        await File.WriteAllBytesAsync(target, new byte[100000], Stop);
        var id = (await RunAsync("push", content, "--name", "twice", "-q")).Trim();
        await RunAsync("pull", id, "--to", target, "--overwrite");
        Assert.Equal([1, 2, 3], await File.ReadAllBytesAsync(target, Stop));

        await RunAsync("push", content, "--name", "twice");
        var refused = await InvokeAsync("show", "twice");
        Assert.Equal(
            (1, "registry: more than one image is called 'twice'; name it by its id.\n"),
            (refused.ExitCode, refused.Error));
        await RunAsync("rm", id);
        await RunAsync("rm", "twice");
        Assert.Equal("[]", (await RunAsync("images", "--output=json")).Trim());
    }

    [Fact]
    public async Task Local_disks_are_described_converted_and_compared_as_by_qemu_img()
    {
        var original = await DiskImageFactory.GetAsync(DiskRecipe.Small, DiskImageForm.Qcow2Version3, Stop);
        var raw = _directory.File("converted.raw");
        var back = _directory.File("converted.qcow2");
        await RunAsync("disk", "convert", "-O", "raw", original, raw);
        await RunAsync("disk", "convert", "-O", "qcow2", "-o", "cluster_size=128k,compat=0.10", raw, back);
        await ExpectSameAsync(original, "qcow2", back, "qcow2");
        await _qemuImg.OutputAsync(Stop, "check", "-f", "qcow2", back);
        Assert.Equal("Images are identical.\n", await RunAsync("disk", "compare", original, back));

        foreach (var file in new[] { original, back })
        {
            var ours = JsonDocument.Parse(await RunAsync("disk", "info", "--output", "json", file));
            var theirs = JsonDocument.Parse(
                await _qemuImg.OutputAsync(Stop, "info", "-f", "qcow2", "--output=json", file));
            Assert.True(
                JsonElement.DeepEquals(theirs.RootElement, ours.RootElement),
                $"{theirs.RootElement}\n{ours.RootElement}");
            Assert.Equal(
                await _qemuImg.OutputAsync(Stop, "info", "-f", "qcow2", file), await RunAsync("disk", "info", file));
            Assert.Equal(
                await _qemuImg.OutputAsync(Stop, "map", "-f", "qcow2", "--output=json", file),
                await RunAsync("disk", "map", "--output", "json", file));
            Assert.Equal(
                await _qemuImg.OutputAsync(Stop, "map", "-f", "qcow2", file), await RunAsync("disk", "map", file));
        }

        using (var changed = new FileStream(raw, FileMode.Open))
        {
            changed.Position = 1L << 28;
            changed.WriteByte(1);
        }

        var different = await InvokeAsync("disk", "compare", original, raw);
        Assert.Equal((1, "Content mismatch at offset 268435456!\n"), (different.ExitCode, different.Output));
    }

    private async Task<(long Size, long Allocated, long Stored, long Read)> ProvisionAsync(
        string id, string path, params string[] options)
    {
        var report = JsonDocument.Parse(
            await RunAsync(["provision", id, "--to", path, "--output", "json", .. options])).RootElement;
        long Number(string name) => report.GetProperty(name).GetInt64();
        return (Number("virtual-size"), Number("allocated"), Number("stored"), Number("read-from-store"));
    }

    private async Task ExpectSameAsync(string a, string aFormat, string b, string bFormat) =>
        await _qemuImg.OutputAsync(Stop, "compare", "-f", aFormat, "-F", bFormat, a, b);

    private static async Task ExpectSparseAsync(string path, long allocated)
    {
        await using var file = FileBytes.OpenRead(path);
        Assert.InRange(file.AllocatedBytes(), 1, (long)(allocated * 1.02));
    }

    private static async Task<string> DigestAsync(string path, Func<Stream, CancellationToken, ValueTask<byte[]>> hash)
    {
        await using var stream = File.OpenRead(path);
        return Convert.ToHexStringLower(await hash(stream, Stop));
    }

    private async Task<string> RunAsync(params string[] arguments)
    {
        var result = await InvokeAsync(arguments);
        Assert.True(
            result.ExitCode == 0,
            $"registry {string.Join(' ', arguments)}: {result.ExitCode} {result.Error}{_server.Log}");
        return result.Output;
    }

    private Task<ToolResult> InvokeAsync(params string[] arguments) => _registry.RunAsync(
        arguments, Stop, new Dictionary<string, string?> { ["REGISTRY_URL"] = _server.Url.ToString() });
}
