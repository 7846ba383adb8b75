using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Tests.Oracle;
using Registry.Hostile;

namespace Registry.Engine.Tests.Disks;

/// <summary>Formats that are recognised and not read: qemu-img says the same of their size.</summary>
public sealed class ToldSizeTests
{
    private const long DiskBytes = (5 << 20) + 512;

    [Theory]
    [InlineData("qed", DiskFormat.Qed)]
    [InlineData("parallels", DiskFormat.Ploop)]
    [InlineData("luks", DiskFormat.Luks)]
    public async Task What_qemu_makes_is_known_with_its_size(string qemuFormat, DiskFormat format)
    {
        var qemu = ExternalTool.Require("qemu-img");
        using var directory = new TempDirectory();
        var path = directory.File("image");
        string[] options = format == DiskFormat.Luks
            ? ["--object", "secret,id=s,data=secret", "-o", "key-secret=s,iter-time=10"]
            : [];
        await qemu.OutputAsync(Disk.Stop, ["create", "-q", "-f", qemuFormat, .. options, path, $"{DiskBytes}"]);

        await using var source = FileBytes.OpenRead(path);
        Assert.Equal(format, await DiskImages.DetectAsync(source, Disk.Stop));
        Assert.Equal(DiskBytes, await ToldSize.ReadAsync(source, format, Disk.Stop));
    }

    [Theory]
    [InlineData("dynamic", 1 << 20)]
    [InlineData("4096", 4096)]
    public async Task A_luks_volume_of_version_2_tells_it_in_its_segments(string size, long expected)
    {
        var json = """{"keyslots":{},"segments":{"0":{"type":"crypt","offset":"32768","size":"?"}}}""".Replace(
            "?", size, StringComparison.Ordinal);
        Assert.Equal(expected, await ToldSize.ReadAsync(Luks2(json), DiskFormat.Luks, Disk.Stop));
    }

    [Theory]
    [InlineData("", FormatError.InvalidHeader)]
    [InlineData("[]", FormatError.InvalidHeader)]
    [InlineData("""{"segments":{}}""", FormatError.InvalidHeader)]
    [InlineData("""{"segments":{"0":7}}""", FormatError.InvalidHeader)]
    [InlineData("""{"segments":{"0":{"offset":32768,"size":"dynamic"}}}""", FormatError.InvalidHeader)]
    [InlineData("""{"segments":{"0":{"offset":"-1","size":"dynamic"}}}""", FormatError.InvalidHeader)]
    [InlineData("""{"segments":{"0":{"offset":"99999999999999999999","size":"dynamic"}}}""", FormatError.InvalidHeader)]
    [InlineData("""{"segments":{"0":{"offset":"0","size":"dynamic"}}}""", FormatError.OutsideFile)]
    [InlineData("""{"segments":{"0":{"offset":"9000000000","size":"dynamic"}}}""", FormatError.OutsideFile)]
    [InlineData("""{"segments":{"0":{"offset":"32768","size":"9223372036854775807"}}}""", FormatError.OutsideFile)]
    public async Task A_luks_volume_of_version_2_that_makes_no_sense_is_refused(string json, FormatError expected) =>
        Assert.Equal(expected, await Disk.Refusal(async () =>
            await ToldSize.ReadAsync(Luks2(json), DiskFormat.Luks, Disk.Stop)));

    [Theory]
    [InlineData(DiskFormat.Raw)]
    [InlineData(DiskFormat.Qcow2)]
    [InlineData(DiskFormat.Iso)]
    public async Task Formats_that_are_opened_tell_it_when_they_are(DiskFormat format) =>
        Assert.Null(await ToldSize.ReadAsync(new MemoryBytes(new byte[512]), format, Disk.Stop));

    [Fact]
    public async Task Partition_tables_and_discs_are_raw_disks_as_they_are_to_qemu()
    {
        foreach (var disk in new[] { PlainDiskBytes.Gpt(), PlainDiskBytes.Mbr(), PlainDiskBytes.Iso() })
            Assert.Equal(DiskFormat.Raw, await DiskImages.DetectAsync(new MemoryBytes(disk), Disk.Stop));
    }

    [Fact]
    public async Task A_size_of_more_than_can_be_is_refused()
    {
        var qed = new byte[512].Text(0, "QED\0").Little64(48, ulong.MaxValue);
        Assert.Equal(FormatError.VirtualSizeTooLarge, await Disk.Refusal(async () =>
            await ToldSize.ReadAsync(new MemoryBytes(qed), DiskFormat.Qed, Disk.Stop)));
    }

    private static MemoryBytes Luks2(string json)
    {
        var volume = new byte[32768 + (1 << 20)].Big32(0, 0x4C554B53).Big32(4, 0xBABE0002).Big64(8, 16384);
        return new MemoryBytes(volume.Text(4096, json));
    }
}
