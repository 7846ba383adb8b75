using System.Text.Json;
using Registry.Support;

namespace Registry.Api.Tests.Provisioning;

/// <summary>Random images, sizes and ranges, with qemu-img as the judge of what the views must be.</summary>
public sealed class DiskViewProperties(RegistryApp app) : IClassFixture<RegistryApp>
{
    private const int Ranges = 25;
    private static readonly (string Format, string[] Options)[] Stored =
    [
        ("raw", []),
        ("qcow2", ["-o", "compat=0.10"]),
        ("qcow2", ["-o", "cluster_size=512"]),
        ("qcow2", ["-o", "cluster_size=2M,lazy_refcounts=on"]),
        ("qcow2", ["-o", "extended_l2=on,cluster_size=128k"]),
        ("qcow2", ["-c", "-o", "cluster_size=4k"]),
        ("qcow2", ["-c", "-o", "compression_type=zstd"]),
        ("vmdk", ["-o", "subformat=streamOptimized"]),
        ("vdi", []),
    ];

    private readonly ExternalTool _qemuImg = ExternalTool.Require("qemu-img");

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 18)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task Every_view_is_what_qemu_img_makes_of_the_image(int seed)
    {
        using var directory = new TempDirectory();
        var random = new Random(seed);
        var (format, options) = Stored[seed % Stored.Length];
        var (image, raw) = (directory.File("image"), directory.File("raw"));
        await File.WriteAllBytesAsync(directory.File("made"), Content(random), RegistryApp.Stop);
        await _qemuImg.OutputAsync(
            RegistryApp.Stop,
            ["convert", "-f", "raw", "-O", format, .. options, directory.File("made"), image]);
        await _qemuImg.OutputAsync(RegistryApp.Stop, "convert", "-f", format, "-O", "raw", image, raw);
        var disk = await File.ReadAllBytesAsync(raw, RegistryApp.Stop);
        var id = await app.UploadAsync(await File.ReadAllBytesAsync(image, RegistryApp.Stop), format);

        var size = random.Next(3) == 0 ? disk.Length : disk.Length + (random.Next(9000) * 512);
        var path = $"/registry/v1/images/{id}/disk?format=raw&size={size}";
        await ExpectRangesAsync(path, [.. disk, .. new byte[size - disk.Length]], random);

        var cluster = 512 << random.Next(13);
        var compat = random.Next(2) == 0 ? "0.10" : "1.1";
        path = $"/registry/v1/images/{id}/disk?format=qcow2&size={size}&compat={compat}&cluster_size={cluster}";
        var whole = await app.Http.GetByteArrayAsync(path, RegistryApp.Stop);
        var view = directory.File("view.qcow2");
        await File.WriteAllBytesAsync(view, whole, RegistryApp.Stop);
        await _qemuImg.OutputAsync(RegistryApp.Stop, "check", "-f", "qcow2", view);
        await _qemuImg.OutputAsync(RegistryApp.Stop, "compare", "-f", "qcow2", "-F", "raw", view, raw);
        var info = JsonDocument.Parse(await _qemuImg.OutputAsync(
            RegistryApp.Stop, "info", "-f", "qcow2", "--output=json", view)).RootElement;
        Assert.Equal(size, info.GetProperty("virtual-size").GetInt64());
        Assert.Equal(cluster, info.GetProperty("cluster-size").GetInt32());
        Assert.Equal(
            compat, info.GetProperty("format-specific").GetProperty("data").GetProperty("compat").GetString());
        await ExpectRangesAsync(path, whole, random);
    }

    private async Task ExpectRangesAsync(string path, byte[] whole, Random random)
    {
        using var head = await app.SendAsync(HttpMethod.Head, path);
        Assert.Equal(whole.Length, head.Content.Headers.ContentLength);
        Assert.Equal(whole, await app.Http.GetByteArrayAsync(path, RegistryApp.Stop));
        for (var n = 0; n < Ranges; n++)
        {
            // Short ranges, long ones, and around the boundaries of clusters.
            var start = random.Next(2) == 0
                ? random.Next(whole.Length)
                : Math.Clamp((random.Next(whole.Length) & ~0xFFFF) + random.Next(-3, 4), 0, whole.Length - 1);
            var length = Math.Min(whole.Length - start, 1 << random.Next(23));
            using var request = new HttpRequestMessage(HttpMethod.Get, path);
            request.Headers.Range = new(start, start + length - 1);
            request.Headers.IfRange = new(head.Headers.ETag!);
            using var response = await app.Http.SendAsync(request, RegistryApp.Stop);
            Assert.Equal(206, (int)response.StatusCode);
            Assert.Equal(length, response.Content.Headers.ContentLength);
            var part = await response.Content.ReadAsByteArrayAsync(RegistryApp.Stop);
            Assert.True(whole.AsSpan(start, length).SequenceEqual(part), $"{path}: {start}+{length}");
        }
    }

    /// <summary>Runs of noise, of one byte, and nothing between; a multiple of 512 bytes.</summary>
    private static byte[] Content(Random random)
    {
        var content = new byte[random.Next(1, 12_000) * 512];
        for (var n = random.Next(12); n > 0; n--)
        {
            var run = content.AsSpan(random.Next(content.Length));
            run = run[..Math.Min(run.Length, 1 << random.Next(20))];
            if (random.Next(2) == 0)
            {
                random.NextBytes(run);
            }
            else
            {
                run.Fill((byte)random.Next(256));
            }
        }

        return content;
    }
}
