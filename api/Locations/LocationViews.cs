using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Policy;
using Registry.Api.Stores;
using Registry.Storage.Domain;

namespace Registry.Api.Locations;

/// <summary>How clients see where bytes are (spec/glance-v2.md, 3.1 and 4). No URL has a key in it.</summary>
internal sealed class LocationViews(StoreSet stores, PolicyEngine policy, IOptions<RegistryOptions> options)
{
    private readonly LocationsSection _options = options.Value.Locations;

    /// <summary>Whether clients are told which stores have an image.</summary>
    public bool WithStores => stores.IsMultiple;

    /// <summary>Whether a caller is not shown where an image is: that of a deactivated image only administrators see.
    /// </summary>
    public static bool AreHidden(Caller caller, Image image) =>
        image.Status == ImageStatus.Deactivated && !caller.IsAdmin;

    /// <summary>Writes an image's <c>locations</c> and <c>direct_url</c>, where the operator shows them. Callers that may
    /// not see them are shown an empty list.</summary>
    public void WriteTo(Utf8JsonWriter json, Caller caller, Image image)
    {
        if (!(_options.ShowMultiple || _options.ShowDirectUrl))
        {
            return;
        }

        var isHidden = AreHidden(caller, image)
            || !policy.Allows(caller, "get_image_location", PolicyTarget.OfImage(image));
        if (_options.ShowMultiple)
        {
            json.WritePropertyName("locations"u8);
            WriteList(json, isHidden ? [] : LocationEdits.InOrder(image));
        }

        if (_options.ShowDirectUrl && !isHidden && stores.InOrder(image.Locations) is [var first, ..])
        {
            json.WriteString("direct_url"u8, UrlOf(first));
        }
    }

    /// <summary>Writes locations as a JSON array.</summary>
    public void WriteList(Utf8JsonWriter json, IEnumerable<ImageLocation> locations)
    {
        json.WriteStartArray();
        foreach (var location in locations)
        {
            json.WriteStartObject();
            json.WriteString("url"u8, UrlOf(location));
            json.WriteStartObject("metadata"u8);
            WriteNotes(json, location);
            if (stores.IsMultiple)
            {
                json.WriteString("store"u8, location.StoreId);
            }

            json.WriteEndObject();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    /// <summary>The URL of a place: that by which the client gave it, or else one that says where the blob is.</summary>
    public string UrlOf(ImageLocation location)
    {
        if (location.Url is { } given)
        {
            return given;
        }

        var blob = string.Create(CultureInfo.InvariantCulture, $"{location.ImageId}/{location.Generation}");
        return stores.Find(location.StoreId)?.Settings switch
        {
            { Kind: "s3" } s3 => $"s3://{new Uri(s3.Endpoint).Authority}/{s3.Bucket}/{Folder(s3.Prefix)}{blob}",
            { Kind: "http" } http => $"{Folder(http.Endpoint)}{blob}",
            { Path.Length: > 0 } directory => new Uri(Path.GetFullPath(Path.Combine(directory.Path, blob, "data"))).AbsoluteUri,
            _ => $"registry://{location.StoreId}/{blob}", // the configuration has the store no more
        };
    }

    private static string Folder(string path) => path.Length == 0 || path[^1] == '/' ? path : path + "/";

    private void WriteNotes(Utf8JsonWriter json, ImageLocation location)
    {
        if (location.Metadata is null)
        {
            return;
        }

        using var notes = JsonDocument.Parse(location.Metadata);
        foreach (var note in notes.RootElement.EnumerateObject().Where(n => !stores.IsMultiple || n.Name != "store"))
        {
            note.WriteTo(json);
        }
    }
}
