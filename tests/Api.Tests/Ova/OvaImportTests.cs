using System.Formats.Tar;
using System.Text;
using Registry.Api.Tests.Import;
using Registry.Support;

namespace Registry.Api.Tests.Ova;

/// <summary>Archives that are kept as they are, unless the operator has them opened.</summary>
public sealed class OvaKeptTests : OvaLab
{
    [Fact]
    public async Task An_archive_stays_one()
    {
        var archive = OvaArchive.Make(Bytes(5000));
        var id = await ImportOvaAsync(archive);
        await SucceedAsync(id);
        Assert.Equal("ova", (await App.ShowAsync(id)).GetProperty("container_format").GetString());
        Assert.Equal(archive, await ContentAsync(id));
    }
}

/// <summary>Archives whose disk becomes the image, converted.</summary>
public sealed class OvaImportTests : OvaLab
{
    public OvaImportTests()
        : base(("Registry:Import:OpenOva", "true"), ("Registry:Import:ConvertTo", "qcow2"))
    {
    }

    [Fact]
    public async Task The_disk_of_an_archive_becomes_the_image_and_its_descriptor_properties()
    {
        var tool = ExternalTool.Require("qemu-img");
        var content = Bytes(3 << 20);
        content.AsSpan(1 << 20, 1 << 20).Clear();
        await File.WriteAllBytesAsync(Files.File("disk.raw"), content, RegistryApp.Stop);
        await tool.OutputAsync(
            RegistryApp.Stop, "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized",
            Files.File("disk.raw"), Files.File("disk.vmdk"));
        var archive = OvaArchive.Make(await File.ReadAllBytesAsync(Files.File("disk.vmdk"), RegistryApp.Stop));
        var id = await ImportOvaAsync(archive);
        await SucceedAsync(id);

        var image = await App.ShowAsync(id);
        Assert.Equal(
            ("active", "qcow2", "bare", "DMTF:x86:64", "DMTF:x86:i686", (long)content.Length),
            (image.GetProperty("status").GetString(), image.GetProperty("disk_format").GetString(),
                image.GetProperty("container_format").GetString(),
                image.GetProperty("cim_pasd_ProcessorArchitecture").GetString(),
                image.GetProperty("cim_pasd_InstructionSet").GetString(), image.GetProperty("virtual_size").GetInt64()));
        Assert.False(image.TryGetProperty("cim_pasd_Limit", out _));
        await File.WriteAllBytesAsync(Files.File("made.qcow2"), await ContentAsync(id), RegistryApp.Stop);
        await tool.OutputAsync(
            RegistryApp.Stop, "compare", "-f", "raw", "-F", "qcow2", Files.File("disk.raw"), Files.File("made.qcow2"));
        Assert.Single(Directory.GetDirectories(Path.Combine(Files.File("one"), id)));
    }

    [Fact]
    public async Task An_archive_that_is_not_one_plain_disk_is_refused_with_the_reason()
    {
        var descriptor = Encoding.UTF8.GetBytes(OvaArchive.Descriptor);
        foreach (var (archive, why) in new[]
        {
            (OvaArchive.Make(TarEntryFormat.Ustar, ("disk.vmdk", Bytes(10))), "exactly one descriptor"),
            (OvaArchive.Make(TarEntryFormat.Ustar, ("a.ovf", descriptor), ("b.ovf", descriptor)), "exactly one descriptor"),
            (OvaArchive.Make(TarEntryFormat.Ustar, ("a.ovf", new byte[5 << 20])), "exactly one descriptor"),
            (OvaArchive.Make(TarEntryFormat.Ustar, ("a.ovf", descriptor)), "is not in it"),
            (OvaArchive.Make(Bytes(5000)), "does not match stream data raw"),
            (OvaArchive.Make(Bytes(5000), "<!DOCTYPE x><Envelope/>"), "document type"),
            (Bytes(5000), "no tar archive"),
        })
        {
            var id = await ImportOvaAsync(archive);
            Assert.Contains(why, await FailAsync(id), StringComparison.Ordinal);
            Assert.Equal("queued", await StatusAsync(id));
            Assert.Equal("", Stored(id));
        }
    }
}

/// <summary>Imports archives.</summary>
public abstract class OvaLab(params (string Name, string Value)[] settings) : ImportLab(settings)
{
    /// <summary>Starts the import of an archive.</summary>
    /// <returns>The image.</returns>
    protected async Task<string> ImportOvaAsync(byte[] archive, string diskFormat = "vmdk")
    {
        using var created = await App.SendAsync(
            HttpMethod.Post, "/v2/images", $$"""{"disk_format":"{{diskFormat}}","container_format":"ova"}""");
        var id = (await RegistryApp.JsonAsync(created)).GetProperty("id").GetString()!;
        (await StageAsync(id, archive)).Dispose();
        await ImportAsync(id, """{"method":{"name":"glance-direct"}}""");
        return id;
    }
}
