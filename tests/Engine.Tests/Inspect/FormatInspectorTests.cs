using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Hostile;
using Xunit;

namespace Registry.Engine.Tests.Inspect;

public sealed class FormatInspectorTests
{
    public static TheoryData<string, byte[], DiskFormat, long> SoundFiles => new()
    {
        { "qcow2 3", new QcowBytes().ToBytes(), DiskFormat.Qcow2, 1L << 30 },
        { "qcow2 2", new QcowBytes { Version = 2 }.ToBytes(), DiskFormat.Qcow2, 1L << 30 },
        { "vmdk", new VmdkBytes().ToBytes(), DiskFormat.Vmdk, 1 << 20 },
        { "vmdk whose CID lost digits", new VmdkBytes { Leftover = "\n" }.ToBytes(), DiskFormat.Vmdk, 1 << 20 },
        {
            "vmdk with footer",
            new VmdkBytes { CreateType = "streamOptimized", DirectoryOffset = ulong.MaxValue, Footer = new(
                ) }.ToBytes(),
            DiskFormat.Vmdk, 1 << 20
        },
        { "dynamic vhd", new VhdBytes().ToBytes(), DiskFormat.Vhd, 4 << 20 },
        {
            "fixed vhd with partitions",
            new VhdBytes { DiskType = 2, DiskBytes = PlainDiskBytes.DiskBytes, Content = PlainDiskBytes.Gpt(
                ) }.ToBytes(),
            DiskFormat.Vhd, PlainDiskBytes.DiskBytes
        },
        { "gpt", PlainDiskBytes.Gpt(), DiskFormat.Gpt, PlainDiskBytes.DiskBytes },
        { "mbr", PlainDiskBytes.Mbr(), DiskFormat.Gpt, PlainDiskBytes.DiskBytes },
        { "iso", PlainDiskBytes.Iso(), DiskFormat.Iso, 300 * 2048 },
        { "luks", PlainDiskBytes.Luks(version: 1), DiskFormat.Luks, PlainDiskBytes.DiskBytes },
        { "ploop", new PloopBytes().ToBytes(), DiskFormat.Ploop, 4 << 20 },
        { "ploop of many", new PloopBytes { Magic = PloopBytes.Extended }.ToBytes(), DiskFormat.Ploop, 4 << 20 },
        { "zeroes", new byte[100_000], DiskFormat.Raw, 100_000 },
        { "a few bytes", [1, 2, 3], DiskFormat.Raw, 3 },
    };

    [Theory]
    [MemberData(nameof(SoundFiles))]
    public async Task Sound_files_are_recognised_with_their_size(
        string name, byte[] file, DiskFormat format, long virtualSize)
    {
        var (inPlace, _) = await Inspecting.InPlaceAsync(file);
        Assert.Equal(Inspecting.Summary(Inspecting.InPieces(file, 4096)), Inspecting.Summary(inPlace));
        foreach (var pieceBytes in new[] { 1, 7, 512, 65537, int.MaxValue })
        {
            var found = Inspecting.InPieces(file, Math.Min(pieceBytes, file.Length));
            Assert.True(found.Failures.Count == 0, $"{name}: {Inspecting.Summary(found)}");
            Assert.Equal(format, found.Format);
            Assert.Equal(virtualSize, found.VirtualSize);
        }

        Assert.True(UploadVerdict.Judge(FormatNames.Of(format), "bare", Inspecting.InPieces(file, 4096)).IsAccepted);
    }

    [Fact]
    public void A_bootable_disc_with_partitions_is_a_disc()
    {
        var disc = PlainDiskBytes.Iso();
        PlainDiskBytes.WriteMbr(disc, type: 0x17, start: 64, sectors: 500);

        var found = Inspecting.InPieces(disc, 4096);

        Assert.Equal(DiskFormat.Iso, found.Format);
        Assert.Equal([DiskFormat.Iso, DiskFormat.Gpt], found.Matches);
    }

    [Fact]
    public void A_boot_sector_of_a_file_system_is_no_partition_table()
    {
        var disk = new byte[4096];
        disk[510] = 0x55;
        disk[511] = 0xAA;
        "No boot device found. Press a key to try again.\r\n"u8.CopyTo(disk.AsSpan(446));

        Assert.Equal(DiskFormat.Raw, Inspecting.InPieces(disk, 4096).Format);
    }

    [Fact]
    public void Chunks_behind_the_header_allocate_nothing()
    {
        var inspector = new FormatInspector();
        var chunk = new byte[256 * 1024];
        inspector.Feed(chunk);
        inspector.Feed(chunk);

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++)
            inspector.Feed(chunk);

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void A_finished_stream_takes_no_more()
    {
        var inspector = new FormatInspector();
        var found = inspector.Finish();

        Assert.Same(found, inspector.Finish());
        Assert.Throws<InvalidOperationException>(() => inspector.Feed([1]));
    }

    [Fact]
    public void Reason_codes_are_in_snake_case()
    {
        Assert.Equal("backing_file_refused", FormatErrors.Code(FormatError.BackingFileRefused));
        Assert.Equal("bad_magic", FormatErrors.Code(FormatError.BadMagic));
    }
}
