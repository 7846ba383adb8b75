using System.Text.Json;
using Registry.Support;

namespace Registry.Api.Tests.Import;

/// <summary>Imports that convert to qcow2.</summary>
public sealed class ConversionTests : ImportLab
{
    private const long DiskBytes = 20 << 20;

    public ConversionTests()
        : base(("Registry:Import:ConvertTo", "qcow2"), ("Registry:Import:Decompress", "true"))
    {
    }

    [Theory]
    [InlineData("raw", 2)]
    [InlineData("vmdk", 1, "subformat=streamOptimized")]
    [InlineData("vmdk", 1, "subformat=monolithicSparse")]
    [InlineData("vdi", 1)]
    [InlineData("vhdx", 1)]
    [InlineData("vhd", 1, "subformat=dynamic")]
    [InlineData("vhd", 2, "subformat=fixed")]
    [InlineData("qcow2", 1)]
    public async Task A_disk_is_converted_on_its_way(string format, int generation, string? option = null)
    {
        await using var source = new WebSource();
        source.Serve(await MakeAsync(format, option));
        var id = await App.CreateAsync(format);
        await DownloadAsync(id, source.Url);
        await SucceedAsync(id);
        await RequireDiskAsync(id);

        // Of what is read where it lies, no copy is staged before the result is: that one is the first.
        var isConverted = format != "qcow2";
        Assert.Equal(isConverted ? generation : 1, GenerationOf(id));
        var isRead = isConverted && generation == 1;
        Assert.Equal(isRead, source.Requests.TrueForAll(head => WebSource.Header(head, "Range") is not null));
    }

    [Theory]
    [InlineData("\"one\"", false)]
    [InlineData(null, true)]
    public async Task What_cannot_be_read_by_ranges_is_fetched_first(string? tag, bool hasRanges)
    {
        await using var source = new WebSource();
        source.Serve(await MakeAsync("vmdk"), tag, hasRanges: hasRanges);
        var id = await App.CreateAsync("vmdk");
        await DownloadAsync(id, source.Url);
        await SucceedAsync(id);
        await RequireDiskAsync(id);
        Assert.Equal(2, GenerationOf(id));
        Assert.Equal(2, source.Connections);
    }

    [Fact]
    public async Task What_is_compressed_as_a_whole_is_fetched_and_unpacked_first()
    {
        var image = await MakeAsync("vmdk");
        using var packed = new MemoryStream();
        await using (var gzip = new System.IO.Compression.GZipStream(
            packed, System.IO.Compression.CompressionLevel.Fastest, leaveOpen: true))
        {
            await gzip.WriteAsync(image, RegistryApp.Stop);
        }

        await using var source = new WebSource();
        source.Serve(packed.ToArray());
        var id = await App.CreateAsync("vmdk");
        await DownloadAsync(id, source.Url);
        await SucceedAsync(id);
        await RequireDiskAsync(id);
        Assert.Equal(3, GenerationOf(id));
    }

    [Fact]
    public async Task Ranges_that_break_off_go_on_where_they_broke()
    {
        await using var source = new WebSource();
        source.Serve(await MakeAsync("vmdk"), breakAfter: 1_500_000);
        var id = await App.CreateAsync("vmdk");
        await DownloadAsync(id, source.Url);
        await SucceedAsync(id);
        await RequireDiskAsync(id);
        Assert.Equal(1, GenerationOf(id));
        Assert.Contains(source.Requests, head => WebSource.Header(head, "Range") == "bytes=1500000-2097151");
    }

    [Fact]
    public async Task Ranges_of_different_files_are_not_mixed()
    {
        var image = await MakeAsync("vmdk");
        await using var source = new WebSource();
        source.Serve(image);
        var first = source.Answer;
        source.Answer = async (head, stream) =>
        {
            await first(head, stream);
            source.Serve(image, tag: "\"two\"");
        };
        var id = await App.CreateAsync("vmdk");
        await DownloadAsync(id, source.Url);
        Assert.Equal("The download failed: what the address names has changed meanwhile.", await FailAsync(id));
        Assert.Equal("queued", await StatusAsync(id));
        Assert.Equal("", Stored(id));
    }

    [Theory]
    [InlineData(0xFF, "stored outside the file")]
    [InlineData(0x00, "shares its stored bytes with another one")]
    public async Task A_disk_whose_tables_are_not_sound_is_refused(byte fill, string reason)
    {
        var image = await MakeAsync("vmdk", "subformat=monolithicSparse");

        // The first grain table of the first grain directory, by the header: entries that lead out of the file, and two
        // that are the same.
        var directory = (int)BitConverter.ToInt64(image, 56) * 512;
        var table = BitConverter.ToInt32(image, directory) * 512;
        if (fill == 0xFF)
        {
            image.AsSpan(table, 64).Fill(fill);
        }
        else
        {
            var grain = Enumerable.Range(0, 512).First(entry => BitConverter.ToInt32(image, table + (entry * 4)) > 1);
            image.AsSpan(table + (grain * 4), 4).CopyTo(image.AsSpan(table + (grain * 4) + 4));
        }

        await using var source = new WebSource();
        source.Serve(image);
        var id = await App.CreateAsync("vmdk");
        await DownloadAsync(id, source.Url);
        var message = await FailAsync(id);
        Assert.StartsWith("Image failed safety checks: ", message, StringComparison.Ordinal);
        Assert.Contains(reason, message, StringComparison.Ordinal);
        Assert.Equal("queued", await StatusAsync(id));
        Assert.Equal("", Stored(id));
    }

    [Fact]
    public async Task A_grain_that_does_not_decode_is_refused()
    {
        var image = await MakeAsync("vmdk", "subformat=streamOptimized");
        image.AsSpan(image.Length / 2, 4096).Fill(0x55);
        await using var source = new WebSource();
        source.Serve(image);
        var id = await App.CreateAsync("vmdk");
        await DownloadAsync(id, source.Url);
        Assert.Equal(
            "Image failed safety checks: A compressed cluster does not decode to a whole cluster.", await FailAsync(id));
        Assert.Equal("queued", await StatusAsync(id));
        Assert.Equal("", Stored(id));
    }

    [Theory]
    [InlineData("vmdk")]
    [InlineData("qcow2")]
    [InlineData("raw")]
    public async Task What_is_not_what_it_was_declared_to_be_is_not_converted(string format)
    {
        await using var source = new WebSource();
        source.Serve(format == "raw" ? await MakeAsync("vmdk") : Bytes(1 << 20));
        var id = await App.CreateAsync(format);
        await DownloadAsync(id, source.Url);
        Assert.Equal(
            $"Image disk_format {format} does not match stream data {(format == "raw" ? "vmdk" : "raw")}",
            await FailAsync(id));
        Assert.Equal(JsonValueKind.Null, (await App.ShowAsync(id)).GetProperty("size").ValueKind);
        Assert.Equal("", Stored(id));
    }

    // A disk with content of which not all fits into the first range that is read.
    private async Task<byte[]> MakeAsync(string format, string? option = null)
    {
        var qemu = ExternalTool.Require("qemu-img");
        var raw = new byte[DiskBytes];
        Bytes(9 << 20).CopyTo(raw, 3 << 20);
        await File.WriteAllBytesAsync(Files.File("disk.raw"), raw, RegistryApp.Stop);
        string[] options = option is null ? [] : ["-o", option];
        await qemu.OutputAsync(
            RegistryApp.Stop,
            [
                "convert", "-f", "raw", "-O", format == "vhd" ? "vpc" : format, .. options, Files.File("disk.raw"),
                Files.File("disk"),
            ]);
        return await File.ReadAllBytesAsync(Files.File("disk"), RegistryApp.Stop);
    }

    private async Task RequireDiskAsync(string id)
    {
        var qemu = ExternalTool.Require("qemu-img");
        var image = await App.ShowAsync(id);
        Assert.Equal(
            ("qcow2", "bare"),
            (image.GetProperty("disk_format").GetString(), image.GetProperty("container_format").GetString()));
        Assert.InRange(image.GetProperty("virtual_size").GetInt64(), DiskBytes, DiskBytes + (1 << 20)); // VHD rounds up
        await File.WriteAllBytesAsync(Files.File("copy.qcow2"), await ContentAsync(id), RegistryApp.Stop);
        await qemu.OutputAsync(
            RegistryApp.Stop, "compare", "-f", "raw", "-F", "qcow2", Files.File("disk.raw"), Files.File("copy.qcow2"));
        await qemu.OutputAsync(RegistryApp.Stop, "check", "-f", "qcow2", Files.File("copy.qcow2"));
    }

    private int GenerationOf(string id) =>
        int.Parse(Path.GetFileName(Assert.Single(Directory.GetDirectories(Path.Combine(Files.File("one"), id)))));
}

/// <summary>Imports that convert to raw.</summary>
public sealed class RawConversionTests : ImportLab
{
    public RawConversionTests()
        : base(("Registry:Import:ConvertTo", "raw"))
    {
    }

    [Theory]
    [InlineData("qcow2", "compression_type=zstd")]
    [InlineData("vmdk", "subformat=streamOptimized")]
    public async Task A_disk_is_unfolded_on_its_way(string format, string option)
    {
        var qemu = ExternalTool.Require("qemu-img");
        var raw = new byte[12 << 20];
        Bytes(5 << 20).CopyTo(raw, 3 << 20);
        await File.WriteAllBytesAsync(Files.File("disk.raw"), raw, RegistryApp.Stop);
        string[] packed = format == "qcow2" ? ["-c"] : [];
        await qemu.OutputAsync(
            RegistryApp.Stop,
            ["convert", "-f", "raw", "-O", format, .. packed, "-o", option, Files.File("disk.raw"), Files.File("disk")]);
        await using var source = new WebSource();
        source.Serve(await File.ReadAllBytesAsync(Files.File("disk"), RegistryApp.Stop));
        var id = await App.CreateAsync(format);
        await DownloadAsync(id, source.Url);
        await SucceedAsync(id);
        Assert.Equal(raw, await ContentAsync(id));
        Assert.Equal("raw", (await App.ShowAsync(id)).GetProperty("disk_format").GetString());
        Assert.True(source.Requests.TrueForAll(head => WebSource.Header(head, "Range") is not null));
    }
}
