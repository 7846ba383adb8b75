using System.Buffers;
using System.Text;
using System.Text.Json;
using Registry.Api.Images;
using Registry.Storage.Domain.Metadefs;

namespace Registry.Api.Metadefs;

/// <summary>Writes metadata definitions as the Image API shows them; what was not said is left out.</summary>
internal static class MetadefJson
{
    /// <summary>The address of a namespace.</summary>
    public static string Path(string name) => $"/v2/metadefs/namespaces/{Segment(name)}";

    /// <summary>Writes a namespace.</summary>
    /// <param name="json">Takes it.</param>
    /// <param name="definitions">The namespace.</param>
    /// <param name="isWhole">Whether to write what is in it, beside the types of resources.</param>
    /// <param name="prefix">What to put before the names of properties; empty for nothing.</param>
    public static void Write(Utf8JsonWriter json, MetadefNamespace definitions, bool isWhole, string prefix = "") =>
        Write(json, definitions, () =>
        {
            if (definitions.Associations.Count > 0)
            {
                json.WriteStartArray("resource_type_associations"u8);
                WriteEach(definitions.Associations.OrderBy(a => a.Name, StringComparer.Ordinal), a => Write(json, a));
                json.WriteEndArray();
            }

            if (isWhole)
            {
                WriteParts(json, definitions, prefix);
            }
        });

    /// <summary>Writes a namespace.</summary>
    /// <param name="json">Takes it.</param>
    /// <param name="definitions">The namespace.</param>
    /// <param name="writeParts">Writes the members for what is in it.</param>
    public static void Write(Utf8JsonWriter json, MetadefNamespace definitions, Action writeParts)
    {
        json.WriteStartObject();
        json.WriteString("namespace"u8, definitions.Name);
        WriteText(json, "display_name", definitions.DisplayName);
        WriteText(json, "description", definitions.Description);
        json.WriteString("visibility"u8, definitions.IsPublic ? "public" : "private");
        json.WriteBoolean("protected"u8, definitions.IsProtected);
        WriteText(json, "owner", definitions.Owner);
        json.WriteString("created_at"u8, ImageJson.Time(definitions.CreatedAt));
        json.WriteString("updated_at"u8, ImageJson.Time(definitions.UpdatedAt));
        writeParts();
        json.WriteString("self"u8, Path(definitions.Name));
        json.WriteString("schema"u8, "/v2/schemas/metadefs/namespace");
        json.WriteEndObject();
    }

    /// <summary>Writes definitions of properties by name.</summary>
    public static void Write(Utf8JsonWriter json, IEnumerable<MetadefProperty> properties, string prefix = "")
    {
        json.WriteStartObject("properties"u8);
        foreach (var property in properties.OrderBy(p => p.Name, StringComparer.Ordinal))
        {
            json.WritePropertyName(prefix + property.Name);
            json.WriteRawValue(property.Schema);
        }

        json.WriteEndObject();
    }

    /// <summary>Writes the definition of a property.</summary>
    public static void Write(Utf8JsonWriter json, MetadefProperty property)
    {
        json.WriteStartObject();
        json.WriteString("name"u8, property.Name);
        using var schema = JsonDocument.Parse(property.Schema);
        foreach (var attribute in schema.RootElement.EnumerateObject().Where(attribute => attribute.Name != "name"))
        {
            attribute.WriteTo(json);
        }

        json.WriteEndObject();
    }

    /// <summary>Writes the definition of an object.</summary>
    /// <param name="json">Takes it.</param>
    /// <param name="definitions">The namespace.</param>
    /// <param name="definition">The object.</param>
    /// <param name="prefix">What to put before the names of properties; empty for nothing.</param>
    /// <param name="isAsGiven">Whether to leave out lists that it was not given, as answers to changes do.</param>
    public static void Write(
        Utf8JsonWriter json, MetadefNamespace definitions, MetadefObject definition, string prefix = "",
        bool isAsGiven = false)
    {
        json.WriteStartObject();
        json.WriteString("name"u8, definition.Name);
        WriteText(json, "description", definition.Description);
        if ((definition.Required ?? (isAsGiven ? null : "[]")) is { } required)
        {
            json.WriteStartArray("required"u8);
            using var names = JsonDocument.Parse(required);
            WriteEach(names.RootElement.EnumerateArray(), name => json.WriteStringValue(prefix + name.GetString()));
            json.WriteEndArray();
        }

        if ((definition.Properties ?? (isAsGiven ? null : "{}")) is { } properties)
        {
            json.WriteStartObject("properties"u8);
            using var all = JsonDocument.Parse(properties);
            foreach (var property in all.RootElement.EnumerateObject())
            {
                json.WritePropertyName(prefix + property.Name);
                property.Value.WriteTo(json);
            }

            json.WriteEndObject();
        }

        json.WriteString("created_at"u8, ImageJson.Time(definition.CreatedAt));
        json.WriteString("updated_at"u8, ImageJson.Time(definition.UpdatedAt));
        json.WriteString("self"u8, $"{Path(definitions.Name)}/objects/{Segment(definition.Name)}");
        json.WriteString("schema"u8, "/v2/schemas/metadefs/object");
        json.WriteEndObject();
    }

    /// <summary>Writes a tag.</summary>
    public static void Write(Utf8JsonWriter json, MetadefTag tag)
    {
        json.WriteStartObject();
        json.WriteString("name"u8, tag.Name);
        json.WriteString("created_at"u8, ImageJson.Time(tag.CreatedAt));
        json.WriteString("updated_at"u8, ImageJson.Time(tag.UpdatedAt));
        json.WriteEndObject();
    }

    /// <summary>Writes names of tags, as lists show them.</summary>
    public static void Write(Utf8JsonWriter json, IEnumerable<MetadefTag> tags)
    {
        json.WriteStartArray("tags"u8);
        foreach (var tag in tags)
        {
            json.WriteStartObject();
            json.WriteString("name"u8, tag.Name);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    /// <summary>Writes an association with a type of resources.</summary>
    public static void Write(Utf8JsonWriter json, MetadefAssociation association)
    {
        json.WriteStartObject();
        json.WriteString("name"u8, association.Name);
        WriteText(json, "prefix", association.Prefix);
        WriteText(json, "properties_target", association.PropertiesTarget);
        json.WriteString("created_at"u8, ImageJson.Time(association.CreatedAt));
        json.WriteString("updated_at"u8, ImageJson.Time(association.CreatedAt));
        json.WriteEndObject();
    }

    /// <summary>Writes a type of resources.</summary>
    public static void Write(Utf8JsonWriter json, MetadefResourceType type)
    {
        json.WriteStartObject();
        json.WriteString("name"u8, type.Name);
        json.WriteString("created_at"u8, ImageJson.Time(type.CreatedAt));
        json.WriteString("updated_at"u8, ImageJson.Time(type.CreatedAt));
        json.WriteEndObject();
    }

    /// <summary>Checked definitions of properties as one JSON object.</summary>
    public static string Text(IEnumerable<KeyValuePair<string, string>> properties)
    {
        var text = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(text))
        {
            json.WriteStartObject();
            foreach (var (name, schema) in properties)
            {
                json.WritePropertyName(name);
                json.WriteRawValue(schema);
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(text.WrittenSpan);
    }

    /// <summary>Answers with one JSON object.</summary>
    public static async Task AnswerAsync(HttpContext context, Action<Utf8JsonWriter> write, int status = 200)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        write(json);
    }

    private static void WriteParts(Utf8JsonWriter json, MetadefNamespace definitions, string prefix)
    {
        if (definitions.Properties.Count > 0)
        {
            Write(json, definitions.Properties, prefix);
        }

        if (definitions.Objects.Count > 0)
        {
            json.WriteStartArray("objects"u8);
            WriteEach(
                definitions.Objects.OrderBy(o => o.Name, StringComparer.Ordinal),
                o => Write(json, definitions, o, prefix));
            json.WriteEndArray();
        }

        if (definitions.Tags.Count > 0)
        {
            Write(json, definitions.Tags.OrderBy(t => t.NameKey, StringComparer.Ordinal));
        }
    }

    private static void WriteEach<T>(IEnumerable<T> parts, Action<T> write)
    {
        foreach (var part in parts)
        {
            write(part);
        }
    }

    /// <summary>Writes a text that may be missing.</summary>
    public static void WriteText(Utf8JsonWriter json, string name, string? text)
    {
        if (text is not null)
        {
            json.WriteString(name, text);
        }
    }

    // Names have colons; nobody escapes those.
    private static string Segment(string name) =>
        Uri.EscapeDataString(name).Replace("%3A", ":", StringComparison.Ordinal);
}
