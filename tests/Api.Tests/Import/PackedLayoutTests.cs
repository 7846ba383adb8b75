using System.IO.Compression;

namespace Registry.Api.Tests.Import;

/// <summary>Every layout that a format of compression allows is unpacked, and what a library does not support is
/// refused by name.</summary>
public sealed class PackedLayoutTests() : ImportLab(("Registry:Import:Decompress", "true"))
{
    private static readonly byte[] Skippable = [0x53, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    private static readonly byte[] LongSkippable = [0x5F, 0x2A, 0x4D, 0x18, 0, 0x20, 0, 0, .. new byte[0x2000]];

    [Fact]
    public async Task Files_of_several_streams_frames_and_members_are_unpacked_whole()
    {
        var (first, second) = (Bytes(5000), Bytes(3000, 2));
        byte[] both = [.. first, .. second];
        foreach (var program in new[] { "gzip", "bzip2", "zstd", "xz" })
        {
            var (a, b) = (await Packer.RunAsync(program, first), await Packer.RunAsync(program, second));
            var none = await Packer.RunAsync(program, []);
            await RequireAsync(program, [.. a, .. b], both);
            await RequireAsync(program, [.. none, .. a, .. none, .. b, .. none], both);
            if (program == "xz")
            {
                await RequireAsync("padded", [.. a, .. new byte[4]], first);
                await RequireAsync("padded to blocks", [.. a, .. new byte[70_000], .. b, .. new byte[512]], both);
            }
            else if (program == "zstd")
            {
                await RequireAsync("skippable", [.. Skippable, .. a], first);
                byte[] many = [.. Skippable, .. LongSkippable, .. a, .. Skippable, .. b, .. Skippable];
                await RequireAsync("skippable everywhere", many, both);
            }
        }
    }

    [Fact]
    public async Task A_zip_with_folders_beside_its_file_is_unpacked()
    {
        using var bytes = new MemoryStream();
        await using (var archive = new ZipArchive(bytes, ZipArchiveMode.Create, leaveOpen: true))
        {
            archive.CreateEntry("vm/");
            await using var member = archive.CreateEntry("vm/disk.raw").Open();
            await member.WriteAsync(Bytes(1000), RegistryApp.Stop);
        }

        await RequireAsync("zip", bytes.ToArray(), Bytes(1000));
    }

    [Fact]
    public async Task What_is_not_supported_is_refused_by_name_with_a_reason()
    {
        foreach (var (packed, why) in new[]
        {
            (await Packer.RunAsync("xz", Bytes(5000), "--x86", "--lzma2"), "xz with the filter x86"),
            (await Packer.RunAsync("xz", Bytes(5000), "--delta=dist=4", "--lzma2"), "xz with the filter delta"),
            (await Packer.RunAsync("xz", Bytes(5000), "--ia64", "--lzma2"), "xz with the filter ia64"),
            (await Packer.RunAsync("xz", Bytes(5000), "--lzma2=dict=128MiB"),
                "xz with a dictionary of more than 64 MiB"),
            ([0x28, 0xB5, 0x2F, 0xFD, 0x21, 7, 4, 0x21, 0, 0, 1, 2, 3, 4], "zstd with a dictionary of its own"),
            ([0x28, 0xB5, 0x2F, 0xFD, 0, 0xA8, 0x21, 0, 0, 1, 2, 3, 4], "zstd with a window of more than 128 MiB"),
            ([0x27, 0xB5, 0x2F, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0], "zstd of a version before 1.0"),
            (Zip(method: 14, flags: 0), "zip with the method LZMA"),
            (Zip(method: 93, flags: 0), "zip with the method zstd"),
            (Zip(method: 8, flags: 1), "zip with encryption"),
        })
        {
            var id = await StartAsync(packed);
            var message = await FailAsync(id);
            Assert.StartsWith($"The compressed data cannot be unpacked here: {why}", message, StringComparison.Ordinal);
            Assert.Equal("queued", await StatusAsync(id));
        }
    }

    [Fact]
    public async Task A_layout_that_is_damaged_after_its_first_part_is_refused()
    {
        foreach (var program in new[] { "gzip", "bzip2", "zstd", "xz" })
        {
            var packed = await Packer.RunAsync(program, Bytes(5000));
            await RequireDamageAsync(program, [.. packed, .. packed[..^20]]);
            await RequireDamageAsync(program, [.. packed, .. packed[..7]]);
            if (program == "xz")
            {
                await RequireDamageAsync(program, [.. packed, 0, 0, 0]);
                await RequireDamageAsync(program, [.. packed, 0, 0, 0, 0, 1, 2, 3, 4]);
            }
        }
    }

    [Theory]
    [InlineData("lz4")]
    [InlineData("lzip")]
    public async Task Compressed_bytes_that_are_not_unpacked_do_not_become_a_disk(string format)
    {
        byte[] packed = format == "lz4" ? [.. Skippable, 4, 0x22, 0x4D, 0x18, 1, 2] : [.. "LZIP\x1"u8, 12, 0, 0, 0];
        var message = await FailAsync(await StartAsync(packed));
        Assert.StartsWith(
            $"Image disk_format raw does not match stream data {format}", message, StringComparison.Ordinal);
    }

    private async Task<string> StartAsync(byte[] packed)
    {
        var id = await App.CreateAsync();
        (await StageAsync(id, packed)).Dispose();
        await ImportAsync(id, """{"method":{"name":"glance-direct"}}""");
        return id;
    }

    private async Task RequireAsync(string layout, byte[] packed, byte[] content)
    {
        var id = await StartAsync(packed);
        var task = await EndAsync(id);
        Assert.True(task.GetProperty("status").GetString() == "success", $"{layout}: {task}");
        Assert.True((await ContentAsync(id)).AsSpan().SequenceEqual(content), layout);
    }

    private async Task RequireDamageAsync(string program, byte[] packed)
    {
        var id = await StartAsync(packed);
        var message = (await EndAsync(id)).GetProperty("message").GetString()!;
        Assert.True(
            message.StartsWith("The compressed data is damaged", StringComparison.Ordinal), $"{program}: {message}");
    }

    // In both headers of the member.
    private static byte[] Zip(byte method, byte flags)
    {
        using var bytes = new MemoryStream();
        using (var archive = new ZipArchive(bytes, ZipArchiveMode.Create, leaveOpen: true))
        {
            using var member = archive.CreateEntry("disk.raw").Open();
            member.Write(Bytes(1000));
        }

        var zip = bytes.ToArray();
        var directory = zip.AsSpan().LastIndexOf("PK\x1\x2"u8);
        (zip[6], zip[8]) = ((byte)(zip[6] | flags), method);
        (zip[directory + 8], zip[directory + 10]) = ((byte)(zip[directory + 8] | flags), method);
        return zip;
    }
}
