using System.Text.Json;
using System.Text.Json.Serialization;
using Registry.Api.Images;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Api.Federation;

/// <summary>An image of another region, as a client names it.</summary>
/// <param name="Region">The region.</param>
/// <param name="ImageId">The image there, a UUID.</param>
/// <param name="Interface">Which of its addresses to use: public, internal or admin. Others are in no catalogue.</param>
internal sealed record GlanceSource(string Region, string ImageId, string Interface)
{
    private const int NameLengthMax = 255;

    /// <summary>Reads the method of an import (spec/glance-v2.md, 5).</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static GlanceSource Read(JsonElement method)
    {
        var (region, image) = (Text(method, "glance_region"), Text(method, "glance_image_id"));
        if (!BlobLayout.IsCanonicalId(image))
        {
            throw ImageRules.Bad($"Remote image id does not look like a UUID: {ImageRules.Shown(image)}");
        }

        var which = method.TryGetProperty("glance_service_interface", out _)
            ? Text(method, "glance_service_interface")
            : "public";
        return region.Length <= NameLengthMax && which.Length <= NameLengthMax
            ? new GlanceSource(region, image, which)
            : throw ImageRules.Bad("glance_region or glance_service_interface is too long.");
    }

    private static string Text(JsonElement method, string name) =>
        method.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            && value.GetString() is { Length: > 0 } text
            ? text
            : throw ImageRules.Bad($"'{name}' needs to be set for glance-download import method");
}

/// <summary>Why an image of another region cannot be had. Glance's clients expect to be told by the import's task.</summary>
/// <param name="Source">What the client named.</param>
/// <param name="Code">What kind of refusal.</param>
/// <param name="Reason">A word for programs.</param>
/// <param name="Message">A sentence for people.</param>
internal sealed record RemoteRefusal(GlanceSource Source, ErrorCode Code, string? Reason, string Message)
{
    /// <summary>As an exception.</summary>
    public RegistryException ToException() => new(Code, Message, Reason);
}

/// <summary>An image of another region, found.</summary>
/// <param name="Source">What the client named.</param>
/// <param name="Endpoint">Address of the image service there.</param>
/// <param name="DiskFormat">Its disk format.</param>
/// <param name="ContainerFormat">Its container format.</param>
/// <param name="Size">Bytes, 0 or more; null when it does not say.</param>
/// <param name="Checksum">Its MD5, lower-case hex; null when it does not say.</param>
/// <param name="Algorithm">Algorithm of <paramref name="Hash"/>; null when it does not say.</param>
/// <param name="Hash">Its hash, lower-case hex; null when it does not say.</param>
/// <param name="Properties">Its properties that are taken over.</param>
internal sealed record RemoteImage(
    GlanceSource Source,
    string Endpoint,
    string? DiskFormat,
    string? ContainerFormat,
    long? Size,
    string? Checksum,
    string? Algorithm,
    string? Hash,
    IReadOnlyDictionary<string, string> Properties)
{
    /// <summary>Address of its description.</summary>
    [JsonIgnore]
    public Uri Url => UrlOf(Endpoint, Source.ImageId);

    /// <summary>Address of its bytes.</summary>
    [JsonIgnore]
    public Uri FileUrl => new($"{Url}/file");

    /// <summary>Address of an image's description.</summary>
    public static Uri UrlOf(string endpoint, string imageId)
    {
        var root = endpoint.TrimEnd('/');
        return new Uri(root.EndsWith("/v2", StringComparison.Ordinal) ? $"{root}/images/{imageId}" : $"{root}/v2/images/{imageId}");
    }
}
