using System.Text.Json;
using Registry.Storage.Domain.Metadefs;

namespace Registry.Storage.Metadata;

/// <summary>The payloads of Glance's notifications about metadata definitions (spec/glance-v2.md, 9).</summary>
internal static class MetadefEventData
{
    private static readonly string[] PropertyFields =
    [
        "type", "title", "description", "default", "minimum", "maximum", "enum", "pattern", "minLength", "maxLength",
        "confidential", "items", "uniqueItems", "minItems", "maxItems", "additionalItems",
    ];

    /// <summary>What is told of a namespace.</summary>
    /// <param name="definitions">The namespace.</param>
    /// <param name="oldName">Its name before.</param>
    /// <param name="deletedAt">When it was deleted; null when it was not.</param>
    public static string OfNamespace(MetadefNamespace definitions, string oldName, DateTimeOffset? deletedAt) =>
        EventData.Write(json =>
        {
            json.WriteString("namespace"u8, definitions.Name);
            json.WriteString("namespace_old"u8, oldName);
            json.WriteString("display_name"u8, definitions.DisplayName);
            json.WriteBoolean("protected"u8, definitions.IsProtected);
            json.WriteString("visibility"u8, definitions.IsPublic ? "public" : "private");
            json.WriteString("owner"u8, definitions.Owner);
            json.WriteString("description"u8, definitions.Description);
            WriteTimes(json, definitions.CreatedAt, definitions.UpdatedAt);
            EventData.WriteDeleted(json, deletedAt);
        });

    /// <summary>What is told of an object.</summary>
    /// <param name="of">Its namespace, its name before, and when it was deleted.</param>
    /// <param name="definition">The object.</param>
    public static string OfObject(MetadefPart of, MetadefObject definition) => EventData.Write(json =>
    {
        WriteNames(json, of, definition.Name);
        json.WriteStartArray("properties"u8);
        using (var properties = JsonDocument.Parse(definition.Properties ?? "{}"))
        {
            foreach (var property in properties.RootElement.EnumerateObject())
            {
                json.WriteStartObject();
                json.WriteString("name"u8, property.Name);
                WriteFields(json, property.Value);
                json.WriteEndObject();
            }
        }

        json.WriteEndArray();
        json.WritePropertyName("required"u8);
        json.WriteRawValue(definition.Required ?? "null");
        json.WriteString("description"u8, definition.Description);
        WriteTimes(json, definition.CreatedAt, definition.UpdatedAt);
        EventData.WriteDeleted(json, of.DeletedAt);
    });

    /// <summary>What is told of a property.</summary>
    /// <inheritdoc cref="OfObject"/>
    public static string OfProperty(MetadefPart of, MetadefProperty definition) => EventData.Write(json =>
    {
        WriteNames(json, of, definition.Name);
        using (var schema = JsonDocument.Parse(definition.Schema))
        {
            WriteFields(json, schema.RootElement);
        }

        EventData.WriteDeleted(json, of.DeletedAt);
    });

    /// <summary>What is told of a tag.</summary>
    /// <inheritdoc cref="OfObject"/>
    public static string OfTag(MetadefPart of, MetadefTag definition) => EventData.Write(json =>
    {
        WriteNames(json, of, definition.Name);
        WriteTimes(json, definition.CreatedAt, definition.UpdatedAt);
        EventData.WriteDeleted(json, of.DeletedAt);
    });

    /// <summary>What is told of a resource type that definitions are for.</summary>
    /// <inheritdoc cref="OfObject"/>
    public static string OfResourceType(MetadefPart of, MetadefAssociation definition) => EventData.Write(json =>
    {
        WriteNames(json, of, definition.Name);
        json.WriteString("prefix"u8, definition.Prefix);
        json.WriteString("properties_target"u8, definition.PropertiesTarget);
        WriteTimes(json, definition.CreatedAt, definition.CreatedAt);
        EventData.WriteDeleted(json, of.DeletedAt);
    });

    private static void WriteNames(Utf8JsonWriter json, MetadefPart of, string name)
    {
        json.WriteString("namespace"u8, of.Namespace);
        json.WriteString("name"u8, name);
        json.WriteString("name_old"u8, of.OldName ?? name);
    }

    private static void WriteFields(Utf8JsonWriter json, JsonElement definition)
    {
        foreach (var field in PropertyFields)
        {
            json.WritePropertyName(field);
            if (definition.TryGetProperty(field, out var value))
            {
                value.WriteTo(json);
            }
            else
            {
                json.WriteNullValue();
            }
        }
    }

    private static void WriteTimes(Utf8JsonWriter json, DateTimeOffset createdAt, DateTimeOffset updatedAt)
    {
        json.WriteString("created_at"u8, EventData.Time(createdAt));
        json.WriteString("updated_at"u8, EventData.Time(updatedAt));
    }
}

/// <summary>Where a part of a namespace is, and what became of it.</summary>
/// <param name="Namespace">Name of the namespace.</param>
/// <param name="OldName">The part's name before, where it was renamed.</param>
/// <param name="DeletedAt">When it was deleted; null when it was not.</param>
internal readonly record struct MetadefPart(string Namespace, string? OldName, DateTimeOffset? DeletedAt);
