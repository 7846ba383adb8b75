using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>The payloads of Glance's notifications (spec/glance-v2.md, 9). Never where the bytes are.</summary>
internal static class EventData
{
    /// <summary>What is told of an image.</summary>
    public static string OfImage(
        Image image, IReadOnlyList<ImageProperty> properties, IReadOnlyList<ImageTag> tags) => Write(json =>
    {
        json.WriteString("id"u8, image.Id);
        json.WriteString("name"u8, image.Name);
        json.WriteString("status"u8, ImageStatuses.Name(image.Status));
        json.WriteString("created_at"u8, Time(image.CreatedAt));
        json.WriteString("updated_at"u8, Time(image.UpdatedAt));
        json.WriteNumber("min_disk"u8, image.MinDisk);
        json.WriteNumber("min_ram"u8, image.MinRam);
        json.WriteBoolean("protected"u8, image.IsProtected);
        json.WriteString("checksum"u8, image.Checksum);
        json.WriteString("owner"u8, image.Owner);
        json.WriteString("disk_format"u8, image.DiskFormat);
        json.WriteString("container_format"u8, image.ContainerFormat);
        WriteNumber(json, "size"u8, image.Size);
        WriteNumber(json, "virtual_size"u8, image.VirtualSize);
        json.WriteBoolean("is_public"u8, image.Visibility == ImageVisibility.Public);
        json.WriteString("visibility"u8, ImageVisibilities.Name(image.Visibility));
        json.WriteBoolean("os_hidden"u8, image.IsHidden);
        json.WriteString("os_hash_algo"u8, image.HashAlgorithm);
        json.WriteString("os_hash_value"u8, image.HashValue);
        json.WriteStartObject("properties"u8);
        foreach (var property in properties.OrderBy(p => p.Name, StringComparer.Ordinal))
        {
            json.WriteString(property.Name, property.Value);
        }

        json.WriteEndObject();
        json.WriteStartArray("tags"u8);
        foreach (var tag in tags.OrderBy(t => t.Value, StringComparer.Ordinal))
        {
            json.WriteStringValue(tag.Value);
        }

        json.WriteEndArray();
        json.WriteBoolean("deleted"u8, image.DeletedAt is not null);
        json.WriteString("deleted_at"u8, image.DeletedAt is { } deletedAt ? Time(deletedAt) : null);
    });

    /// <summary>What is told of a member.</summary>
    public static string OfMember(ImageMember member) => Write(json =>
    {
        json.WriteString("image_id"u8, member.ImageId);
        json.WriteString("member_id"u8, member.MemberId);
        json.WriteString("status"u8, MemberStatuses.Name(member.Status));
        json.WriteString("created_at"u8, Time(member.CreatedAt));
        json.WriteString("updated_at"u8, Time(member.UpdatedAt));
    });

    private static string Write(Action<Utf8JsonWriter> content)
    {
        var bytes = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            content(json);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(bytes.WrittenSpan);
    }

    private static string Time(DateTimeOffset time) =>
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
