using Registry.Support;

namespace Registry.Api.Tests.Nbd;

/// <summary>A registry that exports its images over NBD, on a port of its own.</summary>
public class NbdApp : RegistryApp
{
    /// <summary>The port.</summary>
    public int Port => new Uri(RegistryServer.Addresses(Services)[3]).Port;

    /// <summary>The URI of an export.</summary>
    public string Export(string name) => $"nbd://127.0.0.1:{Port}/{name}";

    /// <summary>Uploads a file as an image.</summary>
    public async Task<string> UploadFileAsync(string path, string format, string name = "") =>
        await UploadAsync(await File.ReadAllBytesAsync(path, Stop), format, name);

    protected override Task<Dictionary<string, string?>> SettingsAsync() => Task.FromResult(NbdSettings());

    /// <summary>The settings that open the port.</summary>
    public static Dictionary<string, string?> NbdSettings() => new()
    {
        ["Registry:Endpoints:Nbd"] = "nbd://127.0.0.1:0",
    };
}

/// <summary>Disk images as clients have them: data, holes, zero clusters, compressed clusters.</summary>
internal static class NbdImages
{
    /// <summary>Bytes of each disk: no multiple of a cluster.</summary>
    public const int DiskBytes = (12 << 20) + 4096;

    /// <summary>A sparse raw disk, its data in multiples of 4 KiB.</summary>
    public static byte[] WriteRaw(string path, int seed)
    {
        var random = new Random(seed);
        var disk = new byte[DiskBytes];
        using var file = File.Create(path);
        file.SetLength(DiskBytes);
        foreach (var (offset, length) in new[]
        {
            (0, 8 << 10), (128 << 10, 4 << 10), (1 << 20, 300 << 10), (3 << 20, 2 << 20), ((7 << 20) + 4096, 12 << 10),
            (DiskBytes - 8192, 8192),
        })
        {
            random.NextBytes(disk.AsSpan(offset, length));
            disk.AsSpan(offset, length / 2).Fill((byte)(1 + random.Next(255))); // can be compressed
            file.Position = offset;
            file.Write(disk, offset, length);
        }

        return disk;
    }

    /// <summary>Makes an image of such a disk.</summary>
    /// <param name="form">raw, qcow2, zeroes (qcow2 with zero clusters and discarded ones), small (clusters of 4 KiB),
    /// compressed or zstd.</param>
    /// <param name="directory">Where.</param>
    public static async Task<(string Path, string Format)> MakeAsync(string form, TempDirectory directory)
    {
        var qemuImg = ExternalTool.Require("qemu-img");
        var raw = directory.File("raw");
        WriteRaw(raw, seed: 7);
        if (form == "raw")
        {
            return (raw, "raw");
        }

        var path = directory.File(form);
        string[] options = form switch
        {
            "small" => ["-o", "cluster_size=4k"],
            "compressed" => ["-c"],
            "zstd" => ["-c", "-o", "compression_type=zstd,cluster_size=256k"],
            _ => [],
        };
        await qemuImg.OutputAsync(
            RegistryApp.Stop, ["convert", "-f", "raw", "-O", "qcow2", .. options, raw, path]);
        if (form == "zeroes")
        {
            await ExternalTool.Require("qemu-io").OutputAsync(
                RegistryApp.Stop, "-f", "qcow2", "-c", "write -z 1M 128k", "-c", "write -z 6M 256k",
                "-c", "write -zu 3M 64k", "-c", "write -P 9 200k 100k", path);
        }

        return (path, "qcow2");
    }
}
