using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Disks;

public sealed class LocalFilesGateTests
{
    [Theory]
    [InlineData("nbd://host/disk", "nbd")]
    [InlineData("rbd:pool/image", "rbd")]
    [InlineData("http://169.254.169.254/", "http")]
    [InlineData("json:{\"driver\":\"nbd\",\"host\":\"h\"}", "nbd")]
    [InlineData("json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"https\",\"url\":\"u\"}}", "https")]
    [InlineData("json:{\"driver\":\"qcow2\",\"file\":", "JSON")]
    [InlineData("json:[1]", "JSON")]
    [InlineData("json:{\"driver\":\"qcow2\"}", "JSON")]
    [InlineData("", "without a name")]
    public async Task What_is_no_local_file_is_refused_by_its_name(string name, string word)
    {
        var refusal = await Assert.ThrowsAsync<ImageFormatException>(async () =>
            await new LocalFilesGate("/nowhere/disk").OpenAsync(
                ReferenceKind.BackingFile, name, DiskFormat.Raw, Disk.Stop));
        Assert.Equal(FormatError.UnsupportedFeature, refusal.Error);
        Assert.Contains(word, refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("dir/disk", "base", "dir/base")]
    [InlineData("/a/b/disk", "sub/base", "/a/b/sub/base")]
    [InlineData("disk", "base", "base")]
    [InlineData("/a/disk", "/b/base", "/b/base")]
    [InlineData("/a/disk", "./x:y", "/a/./x:y")]
    [InlineData("/a/disk", "file:/b/base", "/b/base")]
    public void Names_are_relative_to_the_image_that_has_them(string image, string name, string expected) =>
        Assert.Equal(expected, LocalFilesGate.PathOf(image, name));

    [Fact]
    public async Task A_chain_that_is_a_loop_is_refused()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        QemuImg.Create(directory.File("a"), 1 << 20);
        QemuImg.Run("create", "-q", "-f", "qcow2", "-b", directory.File("a"), "-F", "qcow2", directory.File("b"));
        QemuImg.Run("rebase", "-u", "-f", "qcow2", "-b", directory.File("b"), "-F", "qcow2", directory.File("a"));

        // By another name it is still the same file.
        File.CreateSymbolicLink(directory.File("c"), directory.File("b"));
        foreach (var name in new[] { "a", "b", "c" })
        {
            Assert.Equal(FormatError.BackingChainTooLong, await Disk.Refusal(() => Open(directory.File(name))));
        }
    }

    [Fact]
    public async Task A_chain_longer_than_the_limit_is_refused()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        QemuImg.Create(directory.File("0"), 1 << 20);
        for (var i = 1; i <= 3; i++)
        {
            QemuImg.Run(
                "create", "-q", "-f", "qcow2", "-b", directory.File($"{i - 1}"), "-F", "qcow2", directory.File($"{i}"));
        }

        await Open(directory.File("3"), Limits.Local with { MaxChainImages = 4 });
        Assert.Equal(
            FormatError.BackingChainTooLong,
            await Disk.Refusal(() => Open(directory.File("3"), Limits.Local with { MaxChainImages = 3 })));
    }

    [Fact]
    public async Task A_missing_backing_file_is_named_and_what_was_opened_is_closed()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        QemuImg.Run(
            "create", "-q", "-f", "qcow2", "-u", "-b", "gone.raw", "-F", "raw", directory.File("disk"), "1M");
        var failure = await Assert.ThrowsAnyAsync<IOException>(() => Open(directory.File("disk")));
        Assert.Contains("gone.raw", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_backing_format_that_cannot_be_read_is_named()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        QemuImg.Run("create", "-q", "-f", "vmdk", directory.File("base"), "1M");
        QemuImg.Run("create", "-q", "-f", "qcow2", "-b", directory.File("base"), "-F", "vmdk", directory.File("disk"));
        var refusal = await Assert.ThrowsAsync<ImageFormatException>(() => Open(directory.File("disk")));
        Assert.Contains("vmdk", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_name_without_a_data_file_is_harmless_locally_and_refused_for_uploads()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        QemuImg.Create(directory.File("disk"), 1 << 20, $"data_file={directory.File("data")}");
        var file = await File.ReadAllBytesAsync(directory.File("disk"), Disk.Stop);
        file[79] &= 0xFB; // the data file bit
        await File.WriteAllBytesAsync(directory.File("disk"), file, Disk.Stop);
        File.Delete(directory.File("data"));
        await Open(directory.File("disk"));
        Assert.Equal(
            FormatError.DataFileRefused, await Disk.Refusal(async () => await Disk.OpenQcow(new MemoryBytes(file))));
    }

    [Fact]
    public async Task An_image_opened_for_its_metadata_opens_nothing_else()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        QemuImg.Run(
            "create", "-q", "-f", "qcow2", "-u", "-b", "gone.raw", "-F", "raw", directory.File("disk"), "1M");
        await using var bytes = FileBytes.OpenRead(directory.File("disk"));
        await using var image = await QcowImage.OpenAsync(
            bytes, new DiskOpenOptions { MetadataOnly = true }, Disk.Stop);
        Assert.Equal("gone.raw", image.Extensions.BackingName);
        Assert.Throws<InvalidOperationException>(() => image.MapAsync(0, 1, Disk.Stop));
    }

    private static async Task Open(string path, Limits? limits = null)
    {
        await using var bytes = FileBytes.OpenRead(path);
        var options = DiskOpenOptions.Local(path) with { Limits = limits ?? Limits.Local };
        await using var image = await QcowImage.OpenAsync(bytes, options, Disk.Stop);
    }
}
