using System.Globalization;
using System.Text.Json;
using Registry.Api.Auth;
using Registry.Api.Locations;
using Registry.Storage.Domain;

namespace Registry.Api.Images;

/// <summary>Writes images as the Image API shows them: custom properties first, then the base attributes in Glance's
/// order (spec/glance-v2.md, 3.1).</summary>
internal static class ImageJson
{
    private const string Damaged = "damaged";

    /// <summary>Writes one image as a JSON object.</summary>
    /// <param name="json">Takes it.</param>
    /// <param name="image">The image.</param>
    /// <param name="caller">Who is shown it.</param>
    /// <param name="locations">Shows where its bytes are, as far as anybody is told.</param>
    public static void Write(Utf8JsonWriter json, Image image, Caller caller, LocationViews locations)
    {
        json.WriteStartObject();
        foreach (var property in image.Properties)
        {
            json.WriteString(property.Name, property.IsNull ? null : property.Value);
        }

        json.WriteString("name"u8, image.Name);
        json.WriteString("disk_format"u8, image.DiskFormat);
        json.WriteString("container_format"u8, image.ContainerFormat);
        json.WriteString("visibility"u8, ImageVisibilities.Name(image.Visibility));
        WriteNumber(json, "size"u8, image.Size);
        WriteNumber(json, "virtual_size"u8, image.VirtualSize);
        json.WriteString("status"u8, ImageStatuses.Name(image.Status));
        json.WriteString("checksum"u8, image.Checksum);
        json.WriteBoolean("protected"u8, image.IsProtected);
        json.WriteNumber("min_ram"u8, image.MinRam);
        json.WriteNumber("min_disk"u8, image.MinDisk);
        json.WriteString("owner"u8, image.Owner);
        json.WriteBoolean("os_hidden"u8, image.IsHidden);
        json.WriteString("os_hash_algo"u8, image.HashAlgorithm);
        json.WriteString("os_hash_value"u8, image.HashValue);
        json.WriteString("id"u8, image.Id);
        json.WriteString("created_at"u8, Time(image.CreatedAt));
        json.WriteString("updated_at"u8, Time(image.UpdatedAt));
        locations.WriteTo(json, caller, image);
        json.WriteStartArray("tags"u8);
        foreach (var tag in image.Tags)
        {
            json.WriteStringValue(tag.Value);
        }

        json.WriteEndArray();
        json.WriteString("self"u8, $"/v2/images/{image.Id}");
        json.WriteString("file"u8, $"/v2/images/{image.Id}/file");
        json.WriteString("schema"u8, "/v2/schemas/image");
        if (locations.WithStores && image.Locations.Count > 0 && !LocationViews.AreHidden(caller, image))
        {
            json.WriteString("stores"u8, string.Join(
                ',', image.Locations.OrderBy(l => l.CreatedAt).Select(l => l.StoreId)));
        }

        WriteDamage(json, image, caller);

        json.WriteEndObject();
    }

    // For administrators: the stores in which the bytes were found to be damaged. A text, as clients require of members
    // that the schema does not list.
    private static void WriteDamage(Utf8JsonWriter json, Image image, Caller caller)
    {
        var damaged = image.Locations.Where(l => l.DamagedAt is not null).Select(l => l.StoreId).Order().ToArray();
        if (damaged.Length > 0 && caller.IsAdmin && image.Properties.All(p => p.Name != Damaged))
        {
            json.WriteString(Damaged, string.Join(',', damaged));
        }
    }

    /// <summary>Answers with one image.</summary>
    public static async Task WriteAsync(HttpContext context, int status, Image image)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        Write(json, image, Caller.Of(context), context.RequestServices.GetRequiredService<LocationViews>());
    }

    /// <summary>A time as the API shows it: UTC, whole seconds.</summary>
    public static string Time(DateTimeOffset time) =>
        time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    private static void WriteNumber(Utf8JsonWriter json, ReadOnlySpan<byte> name, long? value)
    {
        if (value is { } number)
        {
            json.WriteNumber(name, number);
        }
        else
        {
            json.WriteNull(name);
        }
    }
}
