using System.IO.Compression;
using Registry.Api.Tests.Cli;
using Registry.Hostile;
using Registry.Support;

namespace Registry.Api.Tests.ImageData;

/// <summary>What certainly is not a disk does not become the bytes of one unless that was asked for.</summary>
public sealed class NotADiskTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    private static readonly byte[] Xz = [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0, 0, 4, .. new byte[100]];
    private static readonly byte[] Luks = PlainDiskBytes.Luks(version: 2);

    [Fact]
    public async Task Compressed_bytes_are_refused_as_a_bare_disk_and_taken_as_a_compressed_one()
    {
        var packed = Gzip(new byte[5000]);
        foreach (var (disk, container, isFine) in new[]
        {
            ("raw", "bare", false), ("raw", "compressed", true), ("qcow2", "compressed", true), ("ari", "ari", true),
        })
        {
            var id = await CreateAsync(disk, container);
            using var put = await app.PutAsync(id, packed);
            Assert.Equal(isFine ? 204 : 415, (int)put.StatusCode);
            Assert.Equal(isFine ? "active" : "queued", (await app.ShowAsync(id)).GetProperty("status").GetString());
            if (!isFine)
            {
                var answer = await RegistryApp.JsonAsync(put);
                Assert.Equal("not_a_disk", answer.GetProperty("reason").GetString());
                Assert.Contains("gzip", answer.ToString(), StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public async Task An_empty_file_is_not_a_qcow2_but_a_snapshot_of_volumes_may_be_empty()
    {
        var id = await app.CreateAsync("qcow2");
        using (var refused = await app.PutAsync(id, []))
        {
            Assert.Equal(415, (int)refused.StatusCode);
        }

        var snapshot = await app.CreateAsync("qcow2", extra: ""","block_device_mapping":"[]","bdm_v2":"True" """);
        using var put = await app.PutAsync(snapshot, []);
        Assert.Equal(204, (int)put.StatusCode);
        Assert.Equal("active", (await app.ShowAsync(snapshot)).GetProperty("status").GetString());
    }

    [Theory]
    [InlineData("disc", "iso")]
    [InlineData("partitions", "raw")]
    [InlineData("zeroes", "raw")]
    [InlineData("qcow2", "qcow2")]
    [InlineData("xz", "not a disk image (xz)")]
    [InlineData("gzip", "not a disk image (gzip)")]
    [InlineData("ova", "not a disk image (ova)")]
    [InlineData("luks", "a LUKS volume")]
    [InlineData("qed", "a QED image")]
    public async Task A_push_without_a_format_takes_only_disks_for_disks(string what, string format)
    {
        var pushed = await PushAsync(what);
        if (format.Contains(' ', StringComparison.Ordinal))
        {
            Assert.Equal(1, pushed.ExitCode);
            Assert.Contains(format, pushed.Error, StringComparison.Ordinal);
            return;
        }

        Assert.True(pushed.ExitCode == 0, pushed.Error);
        Assert.Equal("", pushed.Error);
        var image = await app.ShowAsync(pushed.Output.Trim());
        Assert.Equal(
            (format, "bare"),
            (image.GetProperty("disk_format").GetString(), image.GetProperty("container_format").GetString()));
    }

    [Fact]
    public async Task A_push_with_a_stated_format_takes_other_bytes_as_they_are_and_says_so()
    {
        var pushed = await PushAsync("xz", "-f", "raw");
        Assert.True(pushed.ExitCode == 0, pushed.Error);
        Assert.Contains("is compressed (xz)", pushed.Error, StringComparison.Ordinal);
        var image = await app.ShowAsync(pushed.Output.Trim());
        Assert.Equal(
            ("active", "raw", "compressed"),
            (image.GetProperty("status").GetString(), image.GetProperty("disk_format").GetString(),
                image.GetProperty("container_format").GetString()));

        var refused = await PushAsync("xz", "-f", "raw", "--container-format", "bare");
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("does not match stream data xz", refused.Error, StringComparison.Ordinal);
        Assert.Equal(0, (await PushAsync("luks", "-f", "raw")).ExitCode);
        var archive = await PushAsync("ova", "-f", "vmdk");
        Assert.Equal(0, archive.ExitCode);
        Assert.Equal(
            "ova", (await app.ShowAsync(archive.Output.Trim())).GetProperty("container_format").GetString());
    }

    private async Task<ToolResult> PushAsync(string what, params string[] options)
    {
        using var directory = new TempDirectory();
        var path = directory.File(what);
        await File.WriteAllBytesAsync(path, what switch
        {
            "disc" => PlainDiskBytes.Iso(),
            "partitions" => PlainDiskBytes.Mbr(),
            "zeroes" => new byte[100_000],
            "qcow2" => new QcowBytes().ToBytes(),
            "xz" => Xz,
            "gzip" => Gzip(new byte[100]),
            "ova" => Ova.OvaArchive.Make(new byte[512]),
            "luks" => Luks,
            _ => [.. "QED\0"u8, .. new byte[4096]],
        }, RegistryApp.Stop);
        return await RegistryCommandLine.RunAsync(["push", path, "-q", "--url", app.Url.ToString(), .. options]);
    }

    private async Task<string> CreateAsync(string disk, string container)
    {
        using var created = await app.SendAsync(
            HttpMethod.Post, "/v2/images", $$"""{"disk_format":"{{disk}}","container_format":"{{container}}"}""");
        return (await RegistryApp.JsonAsync(created)).GetProperty("id").GetString()!;
    }

    private static byte[] Gzip(byte[] content)
    {
        using var bytes = new MemoryStream();
        using (var gzip = new GZipStream(bytes, CompressionLevel.Fastest, leaveOpen: true))
        {
            gzip.Write(content);
        }

        return bytes.ToArray();
    }
}
