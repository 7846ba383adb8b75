using System.Text.Json;
using Registry.Api.Images;
using Registry.Api.Schemas;
using Registry.Storage.Domain;

namespace Registry.Api.Tasks;

/// <summary>The body of POST /v2/tasks: a new image, and what to download for it (spec/glance-v2.md, 5).</summary>
/// <param name="Uri">What to download.</param>
/// <param name="Image">The image to make.</param>
/// <param name="Input">All of the task's input as it was given, JSON.</param>
internal sealed record TaskRequest(string Uri, ImageDraft Image, string Input)
{
    /// <summary>The one type of task that clients make.</summary>
    public const string Type = "import";

    /// <summary>Reads a body.</summary>
    /// <exception cref="RegistryException">BadRequest; Forbidden for attributes that nobody sets.</exception>
    public static TaskRequest Read(JsonElement body, CustomProperties custom)
    {
        if (body.ValueKind != JsonValueKind.Object)
        {
            throw ImageRules.Bad("The body must be a JSON object.");
        }

        foreach (var name in new[] { "type", "input" })
        {
            if (!body.TryGetProperty(name, out _))
            {
                throw ImageRules.Bad($"Task '{name}' is required");
            }
        }

        var type = Text(body, "type");
        if (type != Type)
        {
            throw ImageRules.Bad($"Invalid type value: {ImageRules.Shown(type)}");
        }

        var input = body.GetProperty("input");
        if (input.ValueKind != JsonValueKind.Object)
        {
            throw ImageRules.Bad("'input' must be a JSON object.");
        }

        var uri = Text(input, "import_from");
        if (uri.StartsWith("file:", StringComparison.OrdinalIgnoreCase)
            || uri.StartsWith("filesystem:", StringComparison.OrdinalIgnoreCase))
        {
            throw ImageRules.Bad(
                "File based imports are not allowed. Please use a non-local source of image data.");
        }

        return new TaskRequest(uri, ReadImage(input, custom), input.GetRawText());
    }

    // Glance takes no notice of import_from_format where the properties have a format of their own.
    private static ImageDraft ReadImage(JsonElement input, CustomProperties custom)
    {
        var format = Text(input, "import_from_format");
        var draft = ImageAttributes.ReadDraft(Member(input, "image_properties"), custom);
        return draft with
        {
            DiskFormat = draft.DiskFormat ?? format,
            ContainerFormat = draft.ContainerFormat ?? "bare",
        };
    }

    private static string Text(JsonElement parent, string name) =>
        Member(parent, name) is { ValueKind: JsonValueKind.String } text
            ? text.GetString()!
            : throw ImageRules.Bad($"'{name}' must be a string.");

    private static JsonElement Member(JsonElement input, string name) =>
        input.TryGetProperty(name, out var member)
            ? member
            : throw ImageRules.Bad($"Input does not contain '{name}' field");
}
