using System.Text.Json;
using Registry.Api.Images;
using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;

namespace Registry.Api.Metadefs;

/// <summary>A namespace as a client wrote it.</summary>
/// <param name="Settings">Its attributes; no owner where none was said.</param>
/// <param name="Associations">Types of resources.</param>
/// <param name="Properties">Names and checked definitions.</param>
/// <param name="Objects">Objects.</param>
/// <param name="Tags">Tags.</param>
internal sealed record NamespaceDraft(
    MetadefSettings Settings,
    IReadOnlyList<AssociationDraft> Associations,
    IReadOnlyList<KeyValuePair<string, string>> Properties,
    IReadOnlyList<MetadefObjectContent> Objects,
    IReadOnlyList<string> Tags);

/// <summary>An association with a type of resources as a client wrote it.</summary>
/// <param name="Name">The type.</param>
/// <param name="Prefix">What names of properties begin with.</param>
/// <param name="PropertiesTarget">Which metadata is meant.</param>
internal sealed record AssociationDraft(string Name, string? Prefix, string? PropertiesTarget);

/// <summary>Reads metadata definitions from JSON: requests and files alike (spec/glance-v2.md, 11).</summary>
internal static class MetadefReader
{
    private const int NameLengthMax = 80;
    private const int DescriptionLengthMax = 500;
    private const int OwnerLengthMax = 255;
    private const int ObjectDescriptionLengthMax = 65535;

    private static readonly string[] Times = ["created_at", "updated_at"];
    private static readonly string[] ReadOnly = ["self", "schema", "created_at", "updated_at"];

    private static readonly string[] NamespaceAttributes =
    [
        "namespace", "display_name", "description", "visibility", "protected", "owner", "resource_type_associations",
        "properties", "objects", "tags",
    ];

    private static readonly string[] ObjectAttributes = ["name", "description", "required", "properties"];
    private static readonly string[] AssociationAttributes = ["name", "prefix", "properties_target"];
    private static readonly string[] TagAttributes = ["name"];

    /// <summary>Reads a namespace with everything in it.</summary>
    /// <param name="body">The JSON.</param>
    /// <param name="isFile">Whether it is a file, which may say what only the server sets; it is ignored.</param>
    /// <exception cref="RegistryException">BadRequest; Forbidden for what only the server sets.</exception>
    public static NamespaceDraft Namespace(JsonElement body, bool isFile = false)
    {
        MetadefFields.RequireKnown(body, "namespace", NamespaceAttributes, ReadOnly, isFile);
        var settings = new MetadefSettings(
            MetadefFields.RequiredName(body, "namespace"),
            MetadefFields.Text(body, "display_name", NameLengthMax),
            MetadefFields.Text(body, "description", DescriptionLengthMax),
            IsPublic(MetadefFields.Text(body, "visibility", NameLengthMax) ?? "private"),
            MetadefFields.Flag(body, "protected"),
            MetadefFields.Text(body, "owner", OwnerLengthMax));
        return new NamespaceDraft(
            settings,
            MetadefFields.List(
                body, "resource_type_associations", a => Association(a, areReadOnlyIgnored: true)),
            body.TryGetProperty("properties", out var properties) ? PropertyType.ReadAll(properties) : [],
            MetadefFields.List(body, "objects", o => Object(o, areReadOnlyIgnored: true)),
            MetadefFields.List(body, "tags", t => Tag(t, areReadOnlyIgnored: true)));
    }

    /// <summary>Reads the definition of a property.</summary>
    /// <returns>Its name and its checked definition.</returns>
    /// <exception cref="RegistryException">BadRequest; Forbidden for what only the server sets.</exception>
    public static (string Name, string Schema) Property(JsonElement body)
    {
        MetadefFields.RequireObject(body, "property");
        if (Times.FirstOrDefault(t => body.TryGetProperty(t, out _)) is { } time)
        {
            throw new RegistryException(ErrorCode.Forbidden, $"Attribute '{time}' is read-only.", "read_only");
        }

        var name = MetadefFields.RequiredName(body, "name");
        return (name, PropertyType.Read(name, body));
    }

    /// <summary>Reads the definition of an object.</summary>
    /// <param name="body">The JSON.</param>
    /// <param name="areReadOnlyIgnored">Whether what only the server sets may be there all the same.</param>
    /// <exception cref="RegistryException">BadRequest; Forbidden for what only the server sets.</exception>
    public static MetadefObjectContent Object(JsonElement body, bool areReadOnlyIgnored = false)
    {
        MetadefFields.RequireKnown(body, "object", ObjectAttributes, ReadOnly, areReadOnlyIgnored);
        var required = MetadefFields.List(body, "required", name => name.ValueKind == JsonValueKind.String
            ? name.GetString()!
            : throw ImageRules.Bad("'required' must be an array of strings."));
        if (required.Distinct(StringComparer.Ordinal).Count() != required.Count)
        {
            throw ImageRules.Bad("'required' names a property twice.");
        }

        return new MetadefObjectContent(
            MetadefFields.RequiredName(body, "name"),
            MetadefFields.Text(body, "description", ObjectDescriptionLengthMax),
            body.TryGetProperty("required", out _) ? JsonSerializer.Serialize(required) : null,
            body.TryGetProperty("properties", out var properties)
                ? MetadefJson.Text(PropertyType.ReadAll(properties))
                : null);
    }

    /// <summary>Reads an association with a type of resources.</summary>
    /// <param name="body">The JSON.</param>
    /// <param name="areReadOnlyIgnored">Whether what only the server sets may be there all the same.</param>
    /// <exception cref="RegistryException">BadRequest; Forbidden for what only the server sets.</exception>
    public static AssociationDraft Association(JsonElement body, bool areReadOnlyIgnored = false)
    {
        MetadefFields.RequireKnown(body, "resource type", AssociationAttributes, Times, areReadOnlyIgnored);
        return new AssociationDraft(
            MetadefFields.RequiredName(body, "name"),
            MetadefFields.Text(body, "prefix", NameLengthMax),
            MetadefFields.Text(body, "properties_target", NameLengthMax));
    }

    /// <summary>Reads a tag.</summary>
    /// <param name="body">The JSON.</param>
    /// <param name="areReadOnlyIgnored">Whether what only the server sets may be there all the same.</param>
    /// <exception cref="RegistryException">BadRequest; Forbidden for what only the server sets.</exception>
    public static string Tag(JsonElement body, bool areReadOnlyIgnored = false)
    {
        MetadefFields.RequireKnown(body, "tag", TagAttributes, Times, areReadOnlyIgnored);
        return MetadefFields.RequiredName(body, "name");
    }

    /// <summary>Reads a list of tags.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static IReadOnlyList<string> Tags(JsonElement body)
    {
        MetadefFields.RequireKnown(body, "list of tags", ["tags"], Times, areReadOnlyIgnored: false);
        return MetadefFields.List(body, "tags", t => Tag(t));
    }

    /// <summary>Reads a visibility: whether it is public.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static bool IsPublic(string visibility) => visibility switch
    {
        "public" => true,
        "private" => false,
        _ => throw ImageRules.Bad(
            $"Invalid visibility value: {ImageRules.Shown(visibility)}. It must be public or private."),
    };
}
