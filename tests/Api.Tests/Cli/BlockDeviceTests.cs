using Registry.Api.Cli;
using Registry.Engine.Bytes;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>A target that is a block device is written, stays a device, and is left alone where the disk does not fit.
/// What no verb has made is never removed.</summary>
public sealed class BlockDeviceTests(RegistryApp app) : IClassFixture<RegistryApp>, IDisposable
{
    private const int DeviceBytes = 8 << 20;
    private const int SmallBytes = 128 << 10;
    private const int ResumedAt = 1 << 20;
    private const byte Used = 0xEE;
    private static readonly int[] Sectors = [512, 4096];

    private readonly TempDirectory _directory = new();
    private readonly TargetVerbs _verbs = new(app);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public static TheoryData<string> Verbs => TargetVerbs.OnDevices;

    public static TheoryData<string, int, byte> Matrix
    {
        get
        {
            var rows = new TheoryData<string, int, byte>();
            foreach (var verb in TargetVerbs.OnDevices)
            {
                foreach (var sector in Sectors)
                {
                    rows.Add(verb.Data, sector, 0);
                    rows.Add(verb.Data, sector, Used);
                }
            }

            return rows;
        }
    }

    public void Dispose()
    {
        _directory.Dispose();
        _verbs.Dispose();
    }

    [Theory]
    [MemberData(nameof(Matrix))]
    public async Task A_device_fresh_or_used_holds_the_disk_afterwards_also_through_a_link(
        string verb, int sector, byte filling)
    {
        await using var device = await DeviceAsync(sector, filling);
        var link = _directory.File("volume");
        File.CreateSymbolicLink(link, device.Path);
        await RequireWrittenAsync(verb, device, await _verbs.RunAsync(verb, link), filling);
        Assert.Equal(device.Path, new FileInfo(link).LinkTarget);

        // And over what it holds now.
        await RequireWrittenAsync(verb, device, await _verbs.RunAsync(verb, device.Path), filling);
    }

    [Theory]
    [InlineData("provision", 512)]
    [InlineData("provision", 4096)]
    [InlineData("provision-qcow2", 512)]
    [InlineData("provision-qcow2", 4096)]
    public async Task A_device_is_resumed_only_when_asked(string verb, int sector)
    {
        await using var device = await DeviceAsync(sector, Used);
        var id = await app.UploadAsync(_verbs.Content);
        string[] run =
        [
            "provision", id, "--to", device.Path, "--format", verb == "provision" ? "raw" : "qcow2",
            "--url", $"{app.Url}",
        ];
        Assert.Equal(0, (await RegistryCommandLine.RunAsync(run)).ExitCode);
        var whole = await ReadAsync(device);
        var digest = (await app.ShowAsync(id)).GetProperty("os_hash_value").GetString()!;
        var mark = ProvisionMark.Of(id, digest, run[5], 0) with { Offset = ResumedAt };
        foreach (var (options, key, isResumed) in new (string[], ResumeKey?, bool)[]
        {
            ([], null, false),
            (["--resume"], null, true),
            (["--resume"], new ResumeKey(new byte[32]), false), // what a guest can have written
            (["--force"], null, false),
        })
        {
            // Its first half is there, the rest is of the run that was interrupted.
            byte[] left = [.. whole];
            left.AsSpan(left.Length / 2).Fill(Used);
            await Leftover.WriteAsync(device.Path, mark, left, key);
            var done = await RegistryCommandLine.RunAsync([.. run, .. options]);
            Assert.Equal(isResumed, done.Output.Contains("resumed at", StringComparison.Ordinal));
            await RequireWrittenAsync(verb, device, done, Used);
        }
    }

    [Fact]
    public async Task The_unfinished_disk_of_another_image_on_a_device_is_not_overwritten_unasked()
    {
        await using var device = await DeviceAsync(512, Used);
        var mark = new ProvisionMark("another", "digest", "raw", 0, ResumedAt);
        await Leftover.WriteAsync(device.Path, mark, new byte[DeviceBytes]);
        var before = await ReadAsync(device);
        foreach (var options in new string[][] { [], ["--resume"] })
        {
            var refused = await _verbs.RunAsync("provision", device.Path, options);
            Assert.Equal(1, refused.ExitCode);
            Assert.Contains("--force", refused.Error, StringComparison.Ordinal);
            Assert.Equal(before, await ReadAsync(device));
        }

        var forced = await _verbs.RunAsync("provision", device.Path, "--force");
        await RequireWrittenAsync("provision", device, forced, 0);
    }

    [Theory]
    [MemberData(nameof(Verbs))]
    public async Task A_device_that_is_too_small_is_left_as_it_was(string verb)
    {
        foreach (var sector in Sectors)
        {
            await using var device = await DeviceAsync(sector, Used, SmallBytes);
            var refused = await _verbs.RunAsync(verb, device.Path);

            Assert.Equal(1, refused.ExitCode);
            Assert.Contains(device.Path, refused.Error, StringComparison.Ordinal);
            Assert.Equal(FileKind.BlockDevice, FileKinds.Of(device.Path));
            Assert.DoesNotContain(await ReadAsync(device), one => one != Used);
        }
    }

    [Theory]
    [MemberData(nameof(Verbs))]
    public async Task A_device_that_is_mounted_is_left_as_it_was(string verb)
    {
        await using var device = await DeviceAsync(512, 0);
        await ExternalTool.Require("mke2fs").OutputAsync(Stop, "-q", "-t", "ext4", device.Path);
        var place = Directory.CreateDirectory(_directory.File("mounted")).FullName;
        var mounted = await ExternalTool.Require("mount").RunAsync([device.Path, place], Stop);
        Assert.SkipWhen(mounted.ExitCode != 0 && !ExternalTool.IsStrict, mounted.Error);
        Assert.True(mounted.ExitCode == 0, mounted.Error);
        try
        {
            await File.WriteAllTextAsync(Path.Combine(place, "note"), "still there", Stop);
            var refused = await _verbs.RunAsync(verb, device.Path);
            Assert.Equal(1, refused.ExitCode);
            Assert.Contains($"'{device.Path}' is in use", refused.Error, StringComparison.Ordinal);
        }
        finally
        {
            await ExternalTool.Require("umount").OutputAsync(CancellationToken.None, place);
        }

        var check = await ExternalTool.Require("e2fsck").RunAsync(["-f", "-n", device.Path], Stop);
        Assert.True(check.ExitCode == 0, check.Output);
    }

    [Theory]
    [InlineData("--overwrite -b base.raw -F raw base.raw")]
    [InlineData("-b base.raw -F raw base.raw")]
    [InlineData("-b ./base.raw -F raw base.raw")]
    [InlineData("-b base.raw -F raw link.raw")]
    [InlineData("-o data_file=base.raw base.raw 3M")]
    public async Task An_image_is_never_created_over_its_own_backing_or_data_file(string line)
    {
        var content = _verbs.Content;
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
        await File.WriteAllBytesAsync(source, _verbs.Content, Stop);
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

    private async Task<LoopDevice> DeviceAsync(int sector, byte filling, int length = DeviceBytes)
    {
        var file = _directory.File($"device{sector}");
        var used = new byte[length];
        Array.Fill(used, filling);
        await File.WriteAllBytesAsync(file, used, Stop);
        return await LoopDevice.CreateAsync(file, sector, Stop);
    }

    private async Task RequireWrittenAsync(string verb, LoopDevice device, ToolResult done, byte filling)
    {
        Assert.True(done.ExitCode == 0, done.Output + done.Error);
        Assert.Equal(FileKind.BlockDevice, FileKinds.Of(device.Path));
        var written = await ReadAsync(device);
        Assert.Equal(DeviceBytes, written.Length);
        if (verb.EndsWith("qcow2", StringComparison.Ordinal))
        {
            await ExternalTool.Require("qemu-img").OutputAsync(Stop, "check", "-q", "-f", "qcow2", device.Path);
            await _verbs.RequireWrittenAsync(verb, device.Path);
            return;
        }

        var expected = verb == "create" ? new byte[1 << 20] : _verbs.Content;
        Assert.Equal(expected, written[..expected.Length]);
        Assert.DoesNotContain(written[expected.Length..], rest => rest != filling); // the rest is not the disk's
    }

    private static async Task<byte[]> ReadAsync(LoopDevice device)
    {
        await using var file = FileBytes.OpenRead(device.Path);
        var content = new byte[file.Length];
        await file.ReadAsync(0, content, Stop);
        return content;
    }
}
