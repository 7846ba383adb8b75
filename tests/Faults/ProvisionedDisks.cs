using System.Security.Cryptography;
using Registry.Support;

namespace Registry.Faults;

/// <summary>I11: what registry provision makes of an image is the image, as raw bytes and as a qcow2 file that QEMU finds
/// sound.</summary>
internal static class ProvisionedDisks
{
    private static readonly ExternalTool? QemuImg =
        ExternalTool.Find("qemu-img") is { } path ? ExternalTool.At(path) : null;

    /// <summary>Provisions an image twice and compares.</summary>
    /// <param name="site">Where it is.</param>
    /// <param name="registry">Asked for it.</param>
    /// <param name="id">The image; raw.</param>
    /// <param name="promise">What it holds.</param>
    /// <returns>What is wrong; null when nothing is.</returns>
    /// <exception cref="CannotRunException">There is no qemu-img here.</exception>
    public static async Task<string?> ProblemAsync(Site site, RegistryProcess registry, string id, Promise promise)
    {
        var qemu = QemuImg ?? throw new CannotRunException("qemu-img is not installed");
        var raw = Path.Combine(site.Scratch, $"{id}.raw");
        var qcow = Path.Combine(site.Scratch, $"{id}.qcow2");
        try
        {
            foreach (var (target, format) in new[] { (raw, "raw"), (qcow, "qcow2") })
            {
                var (code, output) = await site.RunAsync(
                    "provision", id, "--to", target, "--format", format, "--url", $"{registry.Url}");
                if (code != 0)
                {
                    return $"I11 {id} is not provisioned as {format}: {output.ReplaceLineEndings(" ")}";
                }
            }

            if (await DigestAsync(raw, promise.Length) != promise.Sha512)
            {
                return $"I11 {id} is provisioned to other bytes than were sent";
            }

            foreach (var arguments in new string[][]
            {
                ["check", "-f", "qcow2", qcow],
                ["compare", "-f", "qcow2", "-F", "raw", qcow, raw],
            })
            {
                var said = await qemu.RunAsync(arguments, CancellationToken.None);
                if (said.ExitCode != 0)
                {
                    return $"I11 {id} as qcow2: qemu-img {arguments[0]} says {said.Output} {said.Error}";
                }
            }

            return null;
        }
        finally
        {
            File.Delete(raw);
            File.Delete(qcow);
        }
    }

    // A disk ends with a whole sector; what is behind the image's end must be zeroes.
    private static async Task<string?> DigestAsync(string path, long length)
    {
        var bytes = await File.ReadAllBytesAsync(path);
        return bytes.Length >= length && !bytes.AsSpan((int)length).ContainsAnyExcept((byte)0)
            ? Convert.ToHexStringLower(SHA512.HashData(bytes.AsSpan(0, (int)length)))
            : null;
    }
}
