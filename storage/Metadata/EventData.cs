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
    /// <param name="image">The image.</param>
    /// <param name="properties">Its custom properties.</param>
    /// <param name="tags">Its tags.</param>
    /// <param name="withFailure">Whether also why its last upload failed.</param>
    public static string OfImage(
        Image image, IReadOnlyList<ImageProperty> properties, IReadOnlyList<ImageTag> tags, bool withFailure) => Write(json =>
    {
        if (withFailure)
        {
            json.WriteString("error_code"u8, image.FailureCode);
            json.WriteString("error"u8, image.FailureReason);
        }

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
            json.WriteString(property.Name, property.IsNull ? null : property.Value);
        }

        json.WriteEndObject();
        json.WriteStartArray("tags"u8);
        foreach (var tag in tags.OrderBy(t => t.Value, StringComparer.Ordinal))
        {
            json.WriteStringValue(tag.Value);
        }

        json.WriteEndArray();
        WriteDeleted(json, image.DeletedAt);
    });

    /// <summary>What is told of a member.</summary>
    /// <param name="member">The member.</param>
    /// <param name="deletedAt">When it ceased to be one; null when it did not.</param>
    public static string OfMember(ImageMember member, DateTimeOffset? deletedAt) => Write(json =>
    {
        json.WriteString("image_id"u8, member.ImageId);
        json.WriteString("member_id"u8, member.MemberId);
        json.WriteString("status"u8, MemberStatuses.Name(member.Status));
        json.WriteString("created_at"u8, Time(member.CreatedAt));
        json.WriteString("updated_at"u8, Time(member.UpdatedAt));
        WriteDeleted(json, deletedAt);
    });

    /// <summary>What is told of a task. What it was given and what came of it may be secret.</summary>
    /// <param name="job">The task.</param>
    /// <param name="type">Glance's word for its kind.</param>
    /// <param name="status">Glance's word for where it is.</param>
    /// <param name="kept">How long it can be asked for when it has ended.</param>
    public static string OfTask(Job job, string type, string status, TimeSpan kept) => Write(json =>
    {
        json.WriteString("id"u8, job.Id);
        json.WriteString("type"u8, type);
        json.WriteString("status"u8, status);
        json.WriteNull("result"u8);
        json.WriteString("owner"u8, job.Owner);
        json.WriteNull("message"u8);
        json.WriteString("expires_at"u8, job.EndedAt is { } ended ? Time(ended + kept) : null);
        json.WriteString("created_at"u8, Time(job.CreatedAt));
        json.WriteString("updated_at"u8, Time(job.UpdatedAt));
        WriteDeleted(json, deletedAt: null);
    });

    /// <summary>What is told of a download.</summary>
    public static string OfSend(ImageSent sent) => Write(json =>
    {
        json.WriteNumber("bytes_sent"u8, sent.Bytes);
        json.WriteString("image_id"u8, sent.ImageId);
        json.WriteString("owner_id"u8, sent.Owner);
        json.WriteString("receiver_tenant_id"u8, sent.ProjectId);
        json.WriteString("receiver_user_id"u8, sent.UserId);
        json.WriteString("destination_ip"u8, sent.Destination);
    });

    /// <summary>Describes an image whose locations are all damaged, with the stores that they are in.</summary>
    /// <param name="image">The image.</param>
    /// <param name="locations">Its locations, each marked as damaged.</param>
    public static string OfDamage(Image image, IReadOnlyCollection<ImageLocation> locations) => Write(json =>
    {
        json.WriteString("id"u8, image.Id);
        json.WriteString("name"u8, image.Name);
        json.WriteString("owner"u8, image.Owner);
        json.WriteString("status"u8, ImageStatuses.Name(image.Status));
        json.WriteString(
            "damaged"u8, string.Join(',', locations.Select(l => l.StoreId).Order(StringComparer.Ordinal)));
        json.WriteString("damaged_at"u8, locations.Max(l => l.DamagedAt) is { } last ? Time(last) : null);
    });

    /// <summary>A time as Glance tells it.</summary>
    internal static string Time(DateTimeOffset time) =>
        time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    /// <summary>Whether something is deleted, and when.</summary>
    internal static void WriteDeleted(Utf8JsonWriter json, DateTimeOffset? deletedAt)
    {
        json.WriteBoolean("deleted"u8, deletedAt is not null);
        json.WriteString("deleted_at"u8, deletedAt is { } time ? Time(time) : null);
    }

    /// <summary>A JSON object.</summary>
    internal static string Write(Action<Utf8JsonWriter> content)
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
