using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Registry.Storage.Domain;

namespace Registry.Api.Ova;

/// <summary>A digest that a manifest states.</summary>
/// <param name="Name">The file, as the manifest names it.</param>
/// <param name="Algorithm">The hash.</param>
/// <param name="Value">The digest.</param>
internal sealed record OvaDigest(string Name, HashAlgorithmName Algorithm, byte[] Value);

/// <summary>The manifest of an archive (DSP0243, 5.1): a line <c>SHA256(NAME)= HEX</c> for each file.</summary>
internal static partial class OvaManifest
{
    /// <summary>Longest manifest, bytes.</summary>
    public const int BytesMax = 1 << 20;

    private const int LinesMax = 4 * TarIndex.MembersMax;

    private static readonly Dictionary<string, HashAlgorithmName> Algorithms = new(StringComparer.OrdinalIgnoreCase)
    {
        ["MD5"] = HashAlgorithmName.MD5,
        ["SHA1"] = HashAlgorithmName.SHA1,
        ["SHA256"] = HashAlgorithmName.SHA256,
        ["SHA384"] = HashAlgorithmName.SHA384,
        ["SHA512"] = HashAlgorithmName.SHA512,
    };

    /// <summary>Finds the manifest of a descriptor: of the same name, or the only one of the archive.</summary>
    /// <returns>Null where there is none.</returns>
    public static TarMember? Find(IReadOnlyList<TarMember> members, string descriptor)
    {
        TarMember[] manifests =
            [.. members.Where(member => member.Name.EndsWith(".mf", StringComparison.OrdinalIgnoreCase))];
        var name = descriptor[..^".ovf".Length] + ".mf";
        var own = Array.FindIndex(
            manifests, manifest => manifest.Name.Equals(name, StringComparison.OrdinalIgnoreCase));
        return own >= 0 ? manifests[own] : manifests is [var only] ? only : null;
    }

    /// <summary>Reads a manifest. Blanks and the ends of lines may be written in any way.</summary>
    /// <exception cref="RegistryException">ImageRejected: a line is something else, or names a hash that is not
    /// known.</exception>
    public static IReadOnlyList<OvaDigest> Read(byte[] bytes)
    {
        var digests = new List<OvaDigest>();
        foreach (var part in Encoding.UTF8.GetString(bytes).TrimStart('\uFEFF').Split('\n', '\r'))
        {
            var line = part.Trim('\0', ' ', '\t');
            if (line.Length == 0)
            {
                continue;
            }

            if (digests.Count == LinesMax || Line().Match(line) is not { Success: true } match)
            {
                throw Refused("its manifest is damaged, or has a line that is not ALGORITHM(NAME)= HEX");
            }

            var algorithm = match.Groups["algorithm"].Value.Replace("-", "", StringComparison.Ordinal);
            if (!Algorithms.TryGetValue(algorithm, out var hash))
            {
                throw Refused("its manifest has digests of another kind than MD5, SHA1, SHA256, SHA384 and SHA512");
            }

            var hex = match.Groups["hex"].Value;
            digests.Add(hex.Length % 2 == 0
                ? new OvaDigest(match.Groups["name"].Value, hash, Convert.FromHexString(hex))
                : throw Refused("its manifest is damaged, or has a line that is not ALGORITHM(NAME)= HEX"));
        }

        return digests;
    }

    /// <summary>The refusal of an archive by its manifest.</summary>
    public static RegistryException Refused(string why) =>
        new(ErrorCode.ImageRejected, $"The OVA archive is refused: {why}.", "ova_manifest");

    [GeneratedRegex(
        @"^(?<algorithm>[A-Za-z0-9-]{1,16})\s*\(\s*(?<name>.+?)\s*\)\s*=\s*(?<hex>[0-9A-Fa-f]+)\z",
        RegexOptions.ExplicitCapture)]
    private static partial Regex Line();
}
