using System.Text.Json;
using Registry.Api.Federation;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api.Import;

/// <summary>The body of POST /v2/images/{id}/import (spec/glance-v2.md, 5).</summary>
internal sealed record ImportRequest
{
    /// <summary>The method's name, one of those that are offered.</summary>
    public required string Method { get; init; }

    /// <summary>What to download; null unless the method is web-download.</summary>
    public string? Uri { get; init; }

    /// <summary>The image of another region; null unless the method is glance-download.</summary>
    public GlanceSource? Remote { get; init; }

    /// <summary>The stores named; null when none are.</summary>
    public IReadOnlyList<string>? Stores { get; init; }

    /// <summary>Whether all stores are wanted.</summary>
    public bool AllStores { get; init; }

    /// <summary>Whether one store that fails fails the import; null when not said, which is yes.</summary>
    public bool? MustSucceed { get; init; }

    /// <summary>Input of the task that made the image for this import, JSON; null for an image that was there
    /// before.</summary>
    public string? TaskInput { get; init; }

    /// <summary>Reads a body.</summary>
    /// <param name="body">The body.</param>
    /// <param name="methods">The methods that are offered.</param>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static ImportRequest Read(JsonElement body, IReadOnlyList<string> methods)
    {
        if (body.ValueKind != JsonValueKind.Object
            || !body.TryGetProperty("method", out var method)
            || method.ValueKind != JsonValueKind.Object
            || !method.TryGetProperty("name", out var name)
            || name.ValueKind != JsonValueKind.String)
        {
            throw ImageRules.Bad("Import request requires a 'method' object with a 'name'.");
        }

        var known = name.GetString()!;
        RequireOffered(known, methods);
        string? uri = null;
        if (known == ImportMethods.Web)
        {
            uri = method.TryGetProperty("uri", out var given) && given.ValueKind == JsonValueKind.String
                ? given.GetString()
                : throw ImageRules.Bad($"'uri' is required for {ImportMethods.Web}.");
        }

        return new ImportRequest
        {
            Method = known,
            Uri = uri,
            Remote = known == ImportMethods.Glance ? GlanceSource.Read(method) : null,
            Stores = ReadStores(body),
            AllStores = ReadFlag(body, "all_stores") ?? false,
            MustSucceed = ReadFlag(body, "all_stores_must_succeed"),
        };
    }

    /// <summary>Refuses a method that is not offered.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static void RequireOffered(string method, IReadOnlyList<string> methods)
    {
        if (!methods.Contains(method))
        {
            throw ImageRules.Bad($"Unknown import method name '{ImageRules.Shown(method)}'.");
        }
    }

    private static List<string>? ReadStores(JsonElement body)
    {
        if (!body.TryGetProperty("stores", out var stores))
        {
            return null;
        }

        if (stores.ValueKind != JsonValueKind.Array
            || stores.EnumerateArray().Any(store => store.ValueKind != JsonValueKind.String))
        {
            throw ImageRules.Bad("'stores' must be a list of the ids of stores.");
        }

        return [.. stores.EnumerateArray().Select(store => store.GetString()!).Distinct()];
    }

    private static bool? ReadFlag(JsonElement body, string name) =>
        !body.TryGetProperty(name, out var flag)
            ? null
            : flag.ValueKind is JsonValueKind.True or JsonValueKind.False
                ? flag.GetBoolean()
                : throw ImageRules.Bad($"'{name}' must be boolean value only");
}
