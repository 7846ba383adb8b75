using System.IO.Compression;

namespace Registry.Api.Tests.Import;

/// <summary>Imports that unpack.</summary>
public sealed class UnpackingTests : ImportLab
{
    private const string Direct = """{"method":{"name":"glance-direct"}}""";

    public UnpackingTests()
        : base(
            ("Registry:Import:Decompress", "true"),
            ("Registry:Import:Inject:imported_by", "registry"),
            ("Registry:Import:InjectIgnoreRoles", "nobody"))
    {
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("zip")]
    [InlineData("zstd")]
    [InlineData("xz")]
    [InlineData("bzip2")]
    public async Task Compressed_bytes_are_unpacked(string compression)
    {
        var content = Content();
        var packed = await PackAsync(compression, content);
        var id = await App.CreateAsync();
        (await StageAsync(id, packed)).Dispose();
        await ImportAsync(id, Direct);
        await SucceedAsync(id);
        Assert.Equal(content, await ContentAsync(id));
        var image = await App.ShowAsync(id);
        Assert.Equal(content.Length, image.GetProperty("size").GetInt64());
        Assert.Equal("registry", image.GetProperty("imported_by").GetString());
        Assert.Single(Directory.GetDirectories(Path.Combine(Files.File("one"), id)));

        // What is declared to be compressed stays so.
        var kept = await App.CreateAsync();
        using var compressed = await App.PatchAsync(
            kept, """[{"op":"replace","path":"/container_format","value":"compressed"}]""");
        (await StageAsync(kept, packed)).Dispose();
        await ImportAsync(kept, Direct);
        await SucceedAsync(kept);
        Assert.Equal(packed, await ContentAsync(kept));
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("zip")]
    [InlineData("zstd")]
    [InlineData("xz")]
    [InlineData("bzip2")]
    public async Task Damaged_bytes_are_refused(string compression)
    {
        var packed = await PackAsync(compression, Content());
        var cut = packed[..(packed.Length / 2)];
        var id = await App.CreateAsync();
        (await StageAsync(id, cut)).Dispose();
        await ImportAsync(id, Direct);
        Assert.StartsWith("The compressed data is damaged", await FailAsync(id), StringComparison.Ordinal);
        Assert.Equal("queued", await StatusAsync(id));
        Assert.Equal("", Stored(id));
    }

    [Fact]
    public async Task What_comes_to_too_much_is_refused()
    {
        var id = await App.CreateAsync();
        (await StageAsync(id, await PackAsync("gzip", new byte[70 << 20]))).Dispose(); // the limit is 64 MiB
        await ImportAsync(id, Direct);
        Assert.Contains("larger than the maximum", await FailAsync(id), StringComparison.Ordinal);
        Assert.Equal("", Stored(id));
    }

    [Fact]
    public async Task A_zip_of_two_members_is_refused()
    {
        using var bytes = new MemoryStream();
        await using (var archive = new ZipArchive(bytes, ZipArchiveMode.Create, leaveOpen: true))
        {
            archive.CreateEntry("a");
            archive.CreateEntry("b");
        }

        var id = await App.CreateAsync();
        (await StageAsync(id, bytes.ToArray())).Dispose();
        await ImportAsync(id, Direct);
        Assert.Contains("exactly one member; this one has 2", await FailAsync(id), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_dictionary_that_is_too_large_is_refused()
    {
        var packed = await PackAsync("xz", Content(), "--lzma2=dict=128MiB");
        var id = await App.CreateAsync();
        (await StageAsync(id, packed)).Dispose();
        await ImportAsync(id, Direct);
        Assert.Contains("a dictionary of more than 64 MiB", await FailAsync(id), StringComparison.Ordinal);
    }

    // Half of it noise, half repeated.
    private static byte[] Content()
    {
        var content = Bytes(3_000_001);
        content.AsSpan(0, 1_500_000).Fill(7);
        return content;
    }

    private static async Task<byte[]> PackAsync(string compression, byte[] content, params string[] options)
    {
        using var packed = new MemoryStream();
        switch (compression)
        {
            case "gzip":
                await using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true))
                {
                    await gzip.WriteAsync(content);
                }

                break;
            case "zip":
                await using (var archive = new ZipArchive(packed, ZipArchiveMode.Create, leaveOpen: true))
                {
                    await using var member = archive.CreateEntry("disk.raw").Open();
                    await member.WriteAsync(content);
                }

                break;
            default:
                return await Packer.RunAsync(compression, content, options);
        }

        return packed.ToArray();
    }
}
