using Registry.Engine.Bytes;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>A target that is a block device is written, stays a device, and is left alone where the disk does not fit.
/// What no verb has made is never removed.</summary>
public sealed class BlockDeviceTests(RegistryApp app) : IClassFixture<RegistryApp>, IDisposable
{
    private const int DeviceBytes = 8 << 20;
    private const int DiskBytes = 3 << 20;
    private readonly TempDirectory _directory = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("provision", 512)]
    [InlineData("provision", 4096)]
    [InlineData("pull", 512)]
    [InlineData("pull", 4096)]
    [InlineData("convert", 512)]
    [InlineData("convert", 4096)]
    public async Task A_used_device_holds_the_disk_afterwards_also_through_a_link(string verb, int sector)
    {
        var content = Content();
        await using var device = await DeviceAsync(sector);
        var link = _directory.File("volume");
        File.CreateSymbolicLink(link, device.Path);
        var done = await RunAsync(verb, content, link);

        Assert.True(done.ExitCode == 0, done.Output + done.Error);
        Assert.Equal(FileKind.BlockDevice, FileKinds.Of(device.Path));
        Assert.Equal(device.Path, new FileInfo(link).LinkTarget);
        var written = await ReadAsync(device);
        Assert.Equal(content, written[..content.Length]);
        Assert.DoesNotContain(written[content.Length..], rest => rest != 0xEE);
    }

    [Theory]
    [InlineData("provision")]
    [InlineData("pull")]
    [InlineData("convert")]
    public async Task A_device_that_is_too_small_is_left_as_it_was(string verb)
    {
        await using var device = await DeviceAsync(512);
        var done = await RunAsync(verb, Content(DeviceBytes + 4096), device.Path);

        Assert.Equal(1, done.ExitCode);
        Assert.Contains(device.Path, done.Error, StringComparison.Ordinal);
        Assert.Equal(FileKind.BlockDevice, FileKinds.Of(device.Path));
        Assert.DoesNotContain(await ReadAsync(device), one => one != 0xEE);
    }

    [Fact]
    public async Task A_device_takes_a_raw_disk_from_create()
    {
        await using var device = await DeviceAsync(512);
        var done = await RegistryCommandLine.RunAsync("disk", "create", "-f", "raw", device.Path, "1M");
        Assert.True(done.ExitCode == 0, done.Error);
        Assert.Equal(FileKind.BlockDevice, FileKinds.Of(device.Path));
        Assert.Equal(DeviceBytes, (await ReadAsync(device)).Length);
    }

    [Theory]
    [InlineData("provision")]
    [InlineData("pull")]
    [InlineData("convert")]
    public async Task A_pipe_is_refused_and_stays_where_it_is(string verb)
    {
        var pipe = _directory.File("pipe");
        await ExternalTool.Require("mkfifo").OutputAsync(Stop, pipe);
        var done = await RunAsync(verb, Content(), pipe);

        Assert.Equal(1, done.ExitCode);
        Assert.Equal(FileKind.Other, FileKinds.Of(pipe));
    }

    [Theory]
    [InlineData("-b base.raw -F raw base.raw")]
    [InlineData("-b ./base.raw -F raw base.raw")]
    [InlineData("-b base.raw -F raw link.raw")]
    [InlineData("-o data_file=base.raw base.raw 3M")]
    public async Task An_image_is_never_created_over_its_own_backing_or_data_file(string line)
    {
        var content = Content();
        await File.WriteAllBytesAsync(_directory.File("base.raw"), content, Stop);
        File.CreateSymbolicLink(_directory.File("link.raw"), _directory.File("base.raw"));
        var words = line.Split(' ').Select(word =>
            word is "base.raw" or "link.raw" ? _directory.File(word) : word).ToArray();
        var refused = await RegistryCommandLine.RunAsync(["disk", "create", "-f", "qcow2", .. words]);

        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("same filename", refused.Error, StringComparison.Ordinal);
        Assert.Equal(content, await File.ReadAllBytesAsync(_directory.File("base.raw"), Stop));
    }

    [Theory]
    [InlineData("create -f qcow2 {0} 1M")]
    [InlineData("create -f raw {0} 1M")]
    [InlineData("convert -O qcow2 {1} {0}")]
    [InlineData("convert -O raw {1} {0}")]
    public async Task A_file_that_cannot_be_opened_is_not_removed(string line)
    {
        var (held, source) = (_directory.File("held"), _directory.File("source.raw"));
        await File.WriteAllBytesAsync(source, Content(), Stop);
        await using (var other = new FileStream(held, FileMode.Create, FileAccess.ReadWrite, FileShare.None))
        {
            other.Write("of another program"u8);
            var refused = await RegistryCommandLine.RunAsync(
                ["disk", .. line.Split(' ').Select(word => word.Replace("{0}", held).Replace("{1}", source))]);
            Assert.Equal(1, refused.ExitCode);
        }

        Assert.Equal("of another program", await File.ReadAllTextAsync(held, Stop));
    }

    [Fact]
    public async Task A_raw_disk_whose_space_cannot_be_had_is_not_left_behind()
    {
        var path = _directory.File("huge.raw");
        var refused = await RegistryCommandLine.RunAsync(
            "disk", "create", "-f", "raw", "-o", "preallocation=falloc", path, "15T");
        Assert.Equal(1, refused.ExitCode);
        Assert.False(File.Exists(path));
    }

    private async Task<LoopDevice> DeviceAsync(int sector)
    {
        var file = _directory.File("device");
        var used = new byte[DeviceBytes];
        Array.Fill(used, (byte)0xEE);
        await File.WriteAllBytesAsync(file, used, Stop);
        return await LoopDevice.CreateAsync(file, sector, Stop);
    }

    private static async Task<byte[]> ReadAsync(LoopDevice device)
    {
        await using var file = FileBytes.OpenRead(device.Path);
        var content = new byte[file.Length];
        await file.ReadAsync(0, content, Stop);
        return content;
    }

    private async Task<ToolResult> RunAsync(string verb, byte[] content, string target)
    {
        if (verb == "convert")
        {
            var source = _directory.File("source.raw");
            await File.WriteAllBytesAsync(source, content, Stop);
            return await RegistryCommandLine.RunAsync("disk", "convert", "-f", "raw", "-O", "raw", source, target);
        }

        var id = await app.UploadAsync(content);
        return await RegistryCommandLine.RunAsync(verb, id, "--to", target, "--url", $"{app.Url}");
    }

    // With zeroes at both ends and amid it: they must reach a device that held something else.
    private static byte[] Content(int length = DiskBytes)
    {
        var content = new byte[length];
        new Random(length).NextBytes(content.AsSpan(70_000, 500_000));
        new Random(length + 1).NextBytes(content.AsSpan(2_000_000, 300_123));
        return content;
    }
}
