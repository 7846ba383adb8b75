using Registry.Hostile;
using Registry.Support;

namespace Registry.Api.Tests.Provisioning;

/// <summary>Images of other formats, made by qemu-img, are stored and become raw and qcow2 disks.</summary>
public sealed class StoredFormatsTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    [Theory]
    [InlineData("vmdk", "vmdk", "subformat=monolithicSparse")]
    [InlineData("vmdk", "vmdk", "subformat=streamOptimized")]
    [InlineData("vhd", "vpc", "subformat=dynamic,force_size=on")]
    [InlineData("vhd", "vpc", "subformat=fixed")]
    [InlineData("vhdx", "vhdx", "subformat=dynamic,block_size=1M")]
    [InlineData("vhdx", "vhdx", "subformat=fixed")]
    [InlineData("vdi", "vdi", "static=off")]
    [InlineData("vdi", "vdi", "static=on")]
    public async Task An_image_becomes_a_disk(string diskFormat, string qemuFormat, string options)
    {
        var qemu = ExternalTool.Require("qemu-img");
        using var directory = new TempDirectory();
        var (image, raw, qcow2) = (directory.File("image"), directory.File("raw"), directory.File("qcow2"));
        await WriteDiskAsync(directory.File("in"));
        await qemu.OutputAsync(
            RegistryApp.Stop, "convert", "-f", "raw", "-O", qemuFormat, "-o", options, directory.File("in"), image);
        await qemu.OutputAsync(RegistryApp.Stop, "convert", "-f", qemuFormat, "-O", "raw", image, raw);
        var expected = await File.ReadAllBytesAsync(raw, RegistryApp.Stop);

        var id = await app.UploadAsync(await File.ReadAllBytesAsync(image, RegistryApp.Stop), diskFormat);

        Assert.Equal(expected.Length, (await app.ShowAsync(id)).GetProperty("virtual_size").GetInt64());
        Assert.Equal(expected, await app.Http.GetByteArrayAsync(Disk(id, "raw"), RegistryApp.Stop));
        await File.WriteAllBytesAsync(
            qcow2, await app.Http.GetByteArrayAsync(Disk(id, "qcow2"), RegistryApp.Stop), RegistryApp.Stop);
        await qemu.OutputAsync(RegistryApp.Stop, "check", "-f", "qcow2", qcow2);
        await qemu.OutputAsync(RegistryApp.Stop, "compare", "-f", "qcow2", "-F", "raw", qcow2, raw);
    }

    [Theory]
    [InlineData(200, "outside_file")]  // the block map's first entry: a block that the file does not have
    [InlineData(1, "shared_cluster")]  // the same block as the second one
    public async Task A_table_that_does_not_fit_its_file_is_refused(byte entry, string reason)
    {
        var qemu = ExternalTool.Require("qemu-img");
        using var directory = new TempDirectory();
        var image = directory.File("image");
        await WriteDiskAsync(directory.File("in"));
        await qemu.OutputAsync(RegistryApp.Stop, "convert", "-f", "raw", "-O", "vdi", directory.File("in"), image);
        var bytes = await File.ReadAllBytesAsync(image, RegistryApp.Stop);
        bytes[512] = entry;

        var id = await app.CreateAsync("vdi");
        using var response = await app.PutAsync(id, bytes);

        Assert.Equal(415, (int)response.StatusCode);
        Assert.Equal(reason, response.Headers.GetValues("X-Registry-Reason").Single());
        Assert.Equal("queued", (await app.ShowAsync(id)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task A_ploop_is_kept_with_its_size_and_is_no_disk_to_make()
    {
        var id = await app.UploadAsync(new PloopBytes().ToBytes(), "ploop");

        Assert.Equal(4 << 20, (await app.ShowAsync(id)).GetProperty("virtual_size").GetInt64());
        using var disk = await app.SendAsync(HttpMethod.Get, Disk(id, "raw"));
        Assert.Equal(400, (int)disk.StatusCode);
        Assert.Equal("format_not_provisionable", disk.Headers.GetValues("X-Registry-Reason").Single());
    }

    private static string Disk(string id, string format) => $"/registry/v1/images/{id}/disk?format={format}";

    private static async Task WriteDiskAsync(string path)
    {
        var random = new Random(5);
        var disk = new byte[(6 << 20) + 1536];
        foreach (var offset in new[] { 0, 1 << 20, 3_000_000, disk.Length - 700 })
        {
            random.NextBytes(disk.AsSpan(offset, Math.Min(200_000, disk.Length - offset)));
        }

        await File.WriteAllBytesAsync(path, disk, RegistryApp.Stop);
    }
}
