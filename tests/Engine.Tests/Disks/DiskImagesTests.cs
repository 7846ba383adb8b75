using Registry.Engine.Disks;
using Registry.Engine.Tests.Oracle;
using Registry.Hostile;

namespace Registry.Engine.Tests.Disks;

public sealed class DiskImagesTests
{
    [Theory]
    [InlineData("514649FB00000003", DiskFormat.Qcow2)]
    [InlineData("51454400", DiskFormat.Qed)]
    [InlineData("4B444D5601000000", DiskFormat.Vmdk)]
    [InlineData("7668647866696C65", DiskFormat.Vhdx)]
    [InlineData("636F6E6563746978", DiskFormat.Vhd)]
    [InlineData("4C554B53BABE0001", DiskFormat.Luks)]
    [InlineData("576974686F757446726565537061636500000000", DiskFormat.Ploop)]
    [InlineData("576974686F754672655370616345787400000000", DiskFormat.Ploop)]
    [InlineData("0000000000000000", DiskFormat.Raw)]
    [InlineData("", DiskFormat.Raw)]
    public async Task A_format_is_known_by_its_first_bytes(string hex, DiskFormat expected) =>
        Assert.Equal(
            expected, await DiskImages.DetectAsync(new MemoryBytes(System.Convert.FromHexString(hex)), Disk.Stop));

    [Fact]
    public async Task A_vdi_is_known_by_its_signature_further_in()
    {
        var head = new byte[512];
        new byte[] { 0x7F, 0x10, 0xDA, 0xBE }.CopyTo(head, 64);
        Assert.Equal(DiskFormat.Vdi, await DiskImages.DetectAsync(new MemoryBytes(head), Disk.Stop));
    }

    [Fact]
    public async Task A_raw_disk_that_looks_like_qcow2_stays_raw()
    {
        var bytes = new byte[1000];
        System.Convert.FromHexString("514649FB00000003").CopyTo(bytes, 0);
        await using var image = await DiskImages.OpenAsync(
            new MemoryBytes(bytes), DiskFormat.Raw, DiskOpenOptions.Strict, Disk.Stop);
        Assert.Equal(1024, image.VirtualSize); // a disk has whole sectors
        var read = new byte[1024];
        await image.ReadAsync(0, read, Disk.Stop);
        Assert.Equal([.. bytes, .. new byte[24]], read);
        Assert.Equal(
            [new Extent(0, 1000, ExtentKind.Data, 0, 1000), new Extent(1000, 24, ExtentKind.Hole)],
            await Disk.Map(image));
    }

    [Fact]
    public async Task A_format_without_a_reader_is_refused_by_name() =>
        Assert.Equal(FormatError.UnsupportedFeature, await Disk.Refusal(async () => await DiskImages.OpenAsync(
            new MemoryBytes(new byte[512]), DiskFormat.Qed, DiskOpenOptions.Strict, Disk.Stop)));

    [Theory]
    [InlineData(DiskFormat.Vmdk)]
    [InlineData(DiskFormat.Vhd)]
    [InlineData(DiskFormat.Vhdx)]
    [InlineData(DiskFormat.Vdi)]
    public async Task A_file_of_another_format_is_refused(DiskFormat format) =>
        Assert.Equal(FormatError.BadMagic, await Disk.Refusal(async () => await DiskImages.OpenAsync(
            new MemoryBytes(new byte[1 << 20]), format, DiskOpenOptions.Strict, Disk.Stop)));

    [Fact]
    public async Task A_fixed_vhd_is_known_by_its_end_and_a_plain_disk_with_half_a_footer_is_not()
    {
        var file = new VhdBytes { DiskType = 2, DiskBytes = 4096, Content = new byte[4096] }.ToBytes();
        Assert.Equal(DiskFormat.Vhd, await DiskImages.DetectAsync(new MemoryBytes(file), Disk.Stop));
        Assert.Equal(DiskFormat.Raw, await DiskImages.DetectAsync(new MemoryBytes(file[512..]), Disk.Stop));
        file[^1] = 1; // the checksum is wrong now
        Assert.Equal(DiskFormat.Raw, await DiskImages.DetectAsync(new MemoryBytes(file), Disk.Stop));
    }

    public static TheoryData<string, int, long> Creators
    {
        get
        {
            var creators = new TheoryData<string, int, long>();
            foreach (var creator in new[] { "vpc ", "vs  ", "qemu" })
            {
                creators.Add(creator, 100, 100L * 4 * 17 * 512);
                creators.Add(creator, 0, 4 << 20);
            }

            foreach (var creator in new[]
            {
                "win ", "qem2", "d2v ", "tap\0", "CTXS", "wa\0\0", "vbox", "dutl", "caml", "vpc\0", "VPC ", "\0\0\0\0",
            })
            {
                creators.Add(creator, 100, 4 << 20);
                creators.Add(creator, 500, 4 << 20); // larger than the disk: not looked at
            }

            return creators;
        }
    }

    [Theory]
    [MemberData(nameof(Creators))]
    public async Task Only_the_creators_that_mean_the_geometry_make_a_vhd_of_that_size(
        string creator, int cylinders, long size)
    {
        foreach (var type in new uint[] { 2, 3 })
        {
            var file = new VhdBytes
            {
                Creator = creator, Cylinders = (ushort)cylinders, DiskType = type,
                Content = type == 2 ? new byte[4 << 20] : [],
            }.ToBytes();
            await using var image = await DiskImages.OpenAsync(
                new MemoryBytes(file), DiskFormat.Vhd, DiskOpenOptions.Strict, Disk.Stop);
            Assert.Equal(size, image.VirtualSize);
        }
    }

    [Fact]
    public async Task A_vhd_whose_geometry_is_larger_than_its_size_is_refused() =>
        Assert.Equal(FormatError.InvalidHeader, await Disk.Refusal(async () => await DiskImages.OpenAsync(
            new MemoryBytes(new VhdBytes { Creator = "vpc ", Cylinders = 500 }.ToBytes()), DiskFormat.Vhd,
            DiskOpenOptions.Strict, Disk.Stop)));
}
