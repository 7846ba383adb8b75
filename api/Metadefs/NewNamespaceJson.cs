using System.Text.Json;
using Registry.Storage.Domain.Metadefs;

namespace Registry.Api.Metadefs;

/// <summary>Writes a namespace as the answer to the request that made it shows it: with what it was given, and without
/// what its parts got on the way.</summary>
internal static class NewNamespaceJson
{
    /// <summary>Writes a namespace.</summary>
    /// <param name="json">Takes it.</param>
    /// <param name="definitions">The namespace.</param>
    /// <param name="draft">What it was made of.</param>
    /// <param name="body">The request.</param>
    public static void Write(
        Utf8JsonWriter json, MetadefNamespace definitions, NamespaceDraft draft, JsonElement body) =>
        MetadefJson.Write(json, definitions, () =>
        {
            WriteList(json, body, "resource_type_associations", draft.Associations, association =>
            {
                json.WriteString("name"u8, association.Name);
                MetadefJson.WriteText(json, "prefix", association.Prefix);
                MetadefJson.WriteText(json, "properties_target", association.PropertiesTarget);
            });
            if (body.TryGetProperty("properties", out _))
            {
                json.WritePropertyName("properties"u8);
                json.WriteRawValue(MetadefJson.Text(draft.Properties));
            }

            WriteList(json, body, "objects", draft.Objects, definition =>
            {
                json.WriteString("name"u8, definition.Name);
                MetadefJson.WriteText(json, "description", definition.Description);
                WriteRaw(json, "required", definition.Required);
                WriteRaw(json, "properties", definition.Properties);
            });
            WriteList(json, body, "tags", draft.Tags, tag => json.WriteString("name"u8, tag));
        });

    private static void WriteList<T>(
        Utf8JsonWriter json, JsonElement body, string name, IReadOnlyList<T> items, Action<T> write)
    {
        if (!body.TryGetProperty(name, out _))
        {
            return;
        }

        json.WriteStartArray(name);
        foreach (var item in items)
        {
            json.WriteStartObject();
            write(item);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteRaw(Utf8JsonWriter json, string name, string? text)
    {
        if (text is not null)
        {
            json.WritePropertyName(name);
            json.WriteRawValue(text);
        }
    }
}
