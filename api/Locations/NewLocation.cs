using System.Collections.Frozen;
using System.Text.Json;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api.Locations;

/// <summary>A location as a client gives it: where bytes are that an image is to have, and what they must hash to.</summary>
/// <param name="Url">Where; never holds a secret, such URLs are refused.</param>
/// <param name="Metadata">What the client notes about it, a JSON object; null for nothing.</param>
/// <param name="Checksum">Their MD5, lower-case hex; null when not said.</param>
/// <param name="Algorithm">Algorithm of <paramref name="Hash"/>; null when not said.</param>
/// <param name="Hash">Their hash, lower-case hex; null when not said.</param>
internal sealed record NewLocation(string Url, string? Metadata, string? Checksum, string? Algorithm, string? Hash)
{
    /// <summary>The algorithm of the hashes that images have.</summary>
    public const string ImageAlgorithm = "sha512";

    private const int UrlLengthMax = 255;
    private const int MetadataLengthMax = 16 * 1024;
    private const int ChecksumDigits = 32;

    private static readonly FrozenDictionary<string, int> HexDigits = new Dictionary<string, int>
    {
        ["md5"] = ChecksumDigits,
        ["sha1"] = 40,
        ["sha256"] = 64,
        [ImageAlgorithm] = 128,
    }.ToFrozenDictionary();

    /// <summary>Reads the body of POST …/locations (spec/glance-v2.md, 4.2).</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static NewLocation ReadPost(JsonElement body)
    {
        var url = ReadUrl(body, "url", "validation_data");
        if (!body.TryGetProperty("validation_data", out var data))
        {
            return new NewLocation(url, null, null, null, null);
        }

        var (algorithm, hash) = ReadHash(data, "os_hash_algo", "os_hash_value");
        if (algorithm is null != hash is null)
        {
            throw ImageRules.Bad("os_hash_algo and os_hash_value must be given together.");
        }

        if (hash is not null && !HexDigits.ContainsKey(algorithm!))
        {
            throw ImageRules.Bad($"os_hash_algo must be one of {string.Join(", ", HexDigits.Keys.Order())}.");
        }

        if (hash is not null && !IsHex(hash, HexDigits[algorithm!]))
        {
            throw ImageRules.Bad($"os_hash_value is not the hexadecimal value of a {algorithm}.");
        }

        return new NewLocation(url, null, null, algorithm, hash?.ToLowerInvariant());
    }

    /// <summary>Reads a location of a PATCH (spec/glance-v2.md, 4.1).</summary>
    /// <exception cref="RegistryException">BadRequest for its shape, Conflict for validation data that no image can
    /// have.</exception>
    public static NewLocation ReadPatch(JsonElement value)
    {
        var url = ReadUrl(value, "url", "metadata", "validation_data");
        if (!value.TryGetProperty("metadata", out var metadata) || metadata.ValueKind != JsonValueKind.Object)
        {
            throw ImageRules.Bad("A location must have a metadata object.");
        }

        var text = metadata.GetRawText();
        if (text.Length > MetadataLengthMax)
        {
            throw ImageRules.Bad($"The metadata of a location is longer than {MetadataLengthMax} characters.");
        }

        text = metadata.EnumerateObject().Any() ? text : null;
        if (!value.TryGetProperty("validation_data", out var data))
        {
            return new NewLocation(url, text, null, null, null);
        }

        var (algorithm, hash) = ReadHash(data, "os_hash_algo", "os_hash_value", "checksum");
        if (algorithm is null || hash is null)
        {
            throw ImageRules.Bad("Validation data must have os_hash_algo and os_hash_value.");
        }

        var checksum = data.TryGetProperty("checksum", out var md5) ? TextOf(md5, "checksum") : null;
        if (checksum is not null && checksum.Length != ChecksumDigits)
        {
            throw ImageRules.Bad($"checksum must have {ChecksumDigits} characters.");
        }

        if (algorithm != ImageAlgorithm)
        {
            throw Conflict($"os_hash_algo must be {ImageAlgorithm}, not '{ImageRules.Shown(algorithm)}'");
        }

        if (!IsHex(hash, HexDigits[algorithm]))
        {
            throw Conflict($"os_hash_value is not the hexadecimal value of a {algorithm}");
        }

        if (checksum is not null && !IsHex(checksum, ChecksumDigits))
        {
            throw Conflict("checksum is not a valid hexadecimal value");
        }

        return new NewLocation(url, text, checksum?.ToLowerInvariant(), algorithm, hash.ToLowerInvariant());
    }

    /// <summary>A refusal of validation data.</summary>
    public static RegistryException Conflict(string message) => new(ErrorCode.Conflict, message, "validation_data");

    private static string ReadUrl(JsonElement value, params ReadOnlySpan<string> known)
    {
        RequireMembers(value, "A location", known);
        var url = value.TryGetProperty("url", out var given) ? TextOf(given, "url") : throw ImageRules.Bad(
            "A location must have a url.");
        return url.Length is > 0 and <= UrlLengthMax
            ? url
            : throw ImageRules.Bad($"The url of a location must have 1 to {UrlLengthMax} characters.");
    }

    private static (string? Algorithm, string? Hash) ReadHash(JsonElement data, params ReadOnlySpan<string> known)
    {
        RequireMembers(data, "validation_data", known);
        return (
            data.TryGetProperty("os_hash_algo", out var algorithm) ? TextOf(algorithm, "os_hash_algo") : null,
            data.TryGetProperty("os_hash_value", out var hash) ? TextOf(hash, "os_hash_value") : null);
    }

    private static void RequireMembers(JsonElement value, string what, ReadOnlySpan<string> known)
    {
        if (value.ValueKind != JsonValueKind.Object)
        {
            throw ImageRules.Bad($"{what} must be a JSON object.");
        }

        foreach (var member in value.EnumerateObject())
        {
            if (!known.Contains(member.Name))
            {
                throw ImageRules.Bad($"{what} has no '{ImageRules.Shown(member.Name)}'.");
            }
        }
    }

    private static string TextOf(JsonElement value, string name) => value.ValueKind == JsonValueKind.String
        ? value.GetString()!
        : throw ImageRules.Bad($"{name} must be a string.");

    private static bool IsHex(string text, int digits) => text.Length == digits && text.All(char.IsAsciiHexDigit);
}
