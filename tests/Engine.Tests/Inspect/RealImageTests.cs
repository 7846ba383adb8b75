using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Hostile;
using Registry.Support;
using Xunit;

namespace Registry.Engine.Tests.Inspect;

/// <summary>What qemu-img makes is accepted, with the size that qemu-img tells.</summary>
public sealed class RealImageTests
{
    private const int DiskBytes = 12 << 20;

    [Theory]
    [InlineData("qcow2", "compat=0.10", DiskFormat.Qcow2)]
    [InlineData("qcow2", "compat=1.1,lazy_refcounts=on", DiskFormat.Qcow2)]
    [InlineData("qcow2", "cluster_size=512", DiskFormat.Qcow2)]
    [InlineData("qcow2", "cluster_size=2M", DiskFormat.Qcow2)]
    [InlineData("qcow2", "compression_type=zstd", DiskFormat.Qcow2)]
    [InlineData("qcow2", "extended_l2=on", DiskFormat.Qcow2)]
    [InlineData("vmdk", "subformat=monolithicSparse", DiskFormat.Vmdk)]
    [InlineData("vmdk", "subformat=streamOptimized", DiskFormat.Vmdk)]
    [InlineData("vpc", "subformat=dynamic,force_size=on", DiskFormat.Vhd)]
    [InlineData("vpc", "subformat=fixed,force_size=on", DiskFormat.Vhd)]
    [InlineData("vhdx", "subformat=dynamic", DiskFormat.Vhdx)]
    [InlineData("vhdx", "subformat=fixed", DiskFormat.Vhdx)]
    [InlineData("vdi", "static=off", DiskFormat.Vdi)]
    [InlineData("vdi", "static=on", DiskFormat.Vdi)]
    public async Task Images_of_qemu_are_accepted(string qemuFormat, string options, DiskFormat format)
    {
        var qemu = ExternalTool.Require("qemu-img");
        using var directory = new TempDirectory();
        await WriteDiskAsync(directory.File("disk.raw"));
        await qemu.OutputAsync(
            TestContext.Current.CancellationToken,
            "convert", "-f", "raw", "-O", qemuFormat, "-o", options, directory.File(
                "disk.raw"), directory.File("image"));

        var file = await File.ReadAllBytesAsync(directory.File("image"), TestContext.Current.CancellationToken);
        var found = Inspecting.InPieces(file, 65537);
        var verdict = UploadVerdict.Judge(FormatNames.Of(format), "bare", found);

        Assert.True(verdict.IsAccepted, Inspecting.Summary(found));
        Assert.Equal(DiskBytes, verdict.VirtualSize);
        Assert.Equal(Inspecting.Summary(found), Inspecting.Summary(Inspecting.InPieces(file, 7)));
    }

    [Theory]
    [InlineData(DiskImageForm.Raw, "raw")]
    [InlineData(DiskImageForm.Qcow2Version2, "qcow2")]
    [InlineData(DiskImageForm.Qcow2Version3, "qcow2")]
    [InlineData(DiskImageForm.Qcow2Deflate, "qcow2")]
    [InlineData(DiskImageForm.Qcow2Zstd, "qcow2")]
    public async Task A_file_system_is_accepted_in_every_form(DiskImageForm form, string diskFormat)
    {
        var path = await DiskImageFactory.GetAsync(DiskRecipe.OfThisRun, form, TestContext.Current.CancellationToken);
        var inspector = new FormatInspector();
        await using (var file = File.OpenRead(path))
        {
            var buffer = new byte[1 << 20];
            while (await file.ReadAsync(buffer, TestContext.Current.CancellationToken) is var read and > 0)
                inspector.Feed(buffer.AsSpan(0, read));
        }

        var verdict = UploadVerdict.Judge(diskFormat, "bare", inspector.Finish());

        Assert.True(verdict.IsAccepted, verdict.Refusal?.Message);
        Assert.Equal(DiskRecipe.OfThisRun.VirtualBytes, verdict.VirtualSize);
    }

    [Fact]
    public async Task Overlays_of_qemu_are_refused()
    {
        var qemu = ExternalTool.Require("qemu-img");
        using var directory = new TempDirectory();
        await WriteDiskAsync(directory.File("disk.raw"));
        await qemu.OutputAsync(
            TestContext.Current.CancellationToken,
            "create", "-q", "-f", "qcow2", "-b", directory.File("disk.raw"), "-F", "raw", directory.File("overlay"));
        await qemu.OutputAsync(
            TestContext.Current.CancellationToken,
            "create", "-q", "-f", "qcow2", "-o", $"data_file={directory.File(
                "data")}", directory.File("outside"), "1M");

        Assert.Equal(FormatError.BackingFileRefused, await RefusalAsync(directory.File("overlay")));
        Assert.Equal(FormatError.DataFileRefused, await RefusalAsync(directory.File("outside")));
    }

    private static async Task<FormatError?> RefusalAsync(string path)
    {
        var file = await File.ReadAllBytesAsync(path, TestContext.Current.CancellationToken);
        return UploadVerdict.Judge("qcow2", "bare", Inspecting.InPieces(file, 65537)).Refusal?.Error;
    }

    // A partition table in front, so that content shows where a container does not hide it.
    private static async Task WriteDiskAsync(string path)
    {
        var disk = new byte[DiskBytes];
        PlainDiskBytes.Gpt().AsSpan(0, 4096).CopyTo(disk);
        new Random(1).NextBytes(disk.AsSpan(3 << 20, 2 << 20));
        await File.WriteAllBytesAsync(path, disk, TestContext.Current.CancellationToken);
    }
}
