using System.Text.Json;
using Registry.Api.Schemas;
using Registry.Storage.Domain;

namespace Registry.Api.Images;

/// <summary>What one operation of a patch does.</summary>
public enum PatchOperationKind
{
    /// <summary>Sets; version 2.0 refuses what exists already.</summary>
    Add,

    /// <summary>Sets what must exist.</summary>
    Replace,

    /// <summary>Removes what must exist.</summary>
    Remove,
}

/// <summary>One operation of a patch.</summary>
/// <param name="Kind">What to do.</param>
/// <param name="Path">Attribute or property name and what follows it, unescaped.</param>
/// <param name="Value">The new value; undefined for a removal.</param>
public readonly record struct PatchOperation(PatchOperationKind Kind, IReadOnlyList<string> Path, JsonElement Value);

/// <summary>Reads the two patch dialects of the Image API (spec/glance-v2.md, 4).</summary>
public sealed class ImagePatch
{
    /// <summary>Media type of the draft-4 style: <c>{"replace": "/name", "value": …}</c>.</summary>
    public const string MediaType20 = "application/openstack-images-v2.0-json-patch";

    /// <summary>Media type of the RFC 6902 style: <c>{"op": "replace", "path": "/name", "value": …}</c>.</summary>
    public const string MediaType21 = "application/openstack-images-v2.1-json-patch";

    private ImagePatch(bool isStrictAdd, IReadOnlyList<PatchOperation> operations) =>
        (IsStrictAdd, Operations) = (isStrictAdd, operations);

    /// <summary>Whether adding what exists is refused (version 2.0) or replaces it (2.1).</summary>
    public bool IsStrictAdd { get; }

    /// <summary>The operations in order.</summary>
    public IReadOnlyList<PatchOperation> Operations { get; }

    /// <summary>Whether a media type is one of the two.</summary>
    public static bool IsMediaType(string? mediaType) => mediaType is MediaType20 or MediaType21;

    /// <summary>Reads a patch.</summary>
    /// <param name="mediaType">One of the two.</param>
    /// <param name="body">The body.</param>
    /// <param name="operationsMax">The maximum number of operations.</param>
    /// <param name="custom">What custom properties may be.</param>
    /// <exception cref="RegistryException">BadRequest for a malformed patch, Forbidden for read-only and reserved
    /// attributes, TooLarge for too many operations.</exception>
    public static ImagePatch Read(string mediaType, JsonElement body, int operationsMax, CustomProperties custom)
    {
        var isV20 = mediaType == MediaType20;
        if (body.ValueKind != JsonValueKind.Array)
        {
            throw ImageRules.Bad("Request body must be a JSON array of operation objects.");
        }

        if (body.GetArrayLength() > operationsMax)
        {
            throw new RegistryException(ErrorCode.TooLarge, $"A patch may have at most {operationsMax} operations.");
        }

        return new ImagePatch(isV20, [.. body.EnumerateArray().Select(o => isV20 ? ReadV20(o, custom) : ReadV21(o, custom))]);
    }

    private static PatchOperation ReadV21(JsonElement operation, CustomProperties custom)
    {
        RequireObject(operation);
        if (!operation.TryGetProperty("op", out var op) || op.ValueKind != JsonValueKind.String)
        {
            throw ImageRules.Bad("Unable to find 'op' in JSON Schema change.");
        }

        if (!operation.TryGetProperty("path", out var path) || path.ValueKind != JsonValueKind.String)
        {
            throw ImageRules.Bad("Unable to find 'path' in JSON Schema change.");
        }

        return Make(Kind(op.GetString()!), path.GetString()!, operation, custom);
    }

    private static PatchOperation ReadV20(JsonElement operation, CustomProperties custom)
    {
        RequireObject(operation);
        var verbs = operation.EnumerateObject().Where(m => m.Name is "add" or "replace" or "remove").ToArray();
        if (verbs.Length == 0)
        {
            throw ImageRules.Bad("Operations must be 'add', 'replace' or 'remove'.");
        }

        if (verbs.Length > 1)
        {
            throw ImageRules.Bad(
                "Operation objects must contain only one member named \"add\", \"remove\", or \"replace\".");
        }

        if (verbs[0].Value.ValueKind != JsonValueKind.String)
        {
            throw ImageRules.Bad("The path of an operation must be a string.");
        }

        return Make(Kind(verbs[0].Name), verbs[0].Value.GetString()!, operation, custom);
    }

    private static PatchOperation Make(
        PatchOperationKind kind, string pointer, JsonElement operation, CustomProperties custom)
    {
        var path = ReadPointer(pointer);
        JsonElement value = default;
        if (kind != PatchOperationKind.Remove && !operation.TryGetProperty("value", out value))
        {
            throw ImageRules.Bad(
                $"Operation \"{kind.ToString().ToLowerInvariant()}\" requires a member named \"value\".");
        }

        RequireDepth(kind, pointer, path);
        ImageChanges.RequireWritable(path[0]);
        if (kind != PatchOperationKind.Remove && path.Length == 1)
        {
            ImageAttributes.RequireValid(path[0], value, custom);
        }

        return new PatchOperation(kind, path, value);
    }

    private static PatchOperationKind Kind(string verb) => verb switch
    {
        "add" => PatchOperationKind.Add,
        "replace" => PatchOperationKind.Replace,
        "remove" => PatchOperationKind.Remove,
        _ => throw ImageRules.Bad($"Operations must be 'add', 'replace' or 'remove', not '{ImageRules.Shown(verb)}'."),
    };

    private static string[] ReadPointer(string pointer)
    {
        if (!pointer.StartsWith('/'))
        {
            throw ImageRules.Bad($"Pointer `{ImageRules.Shown(pointer)}` does not start with \"/\".");
        }

        if (pointer.Length > 1 && (pointer.EndsWith('/') || pointer.Contains("//", StringComparison.Ordinal)))
        {
            throw ImageRules.Bad($"Pointer `{ImageRules.Shown(pointer)}` has an empty segment.");
        }

        for (var i = pointer.IndexOf('~'); i >= 0; i = pointer.IndexOf('~', i + 1))
        {
            if (i + 1 == pointer.Length || pointer[i + 1] is not ('0' or '1'))
            {
                throw ImageRules.Bad(
                    $"Pointer `{ImageRules.Shown(pointer)}` contains \"~\" not part of a recognized escape sequence.");
            }
        }

        return
        [
            .. pointer[1..].Split('/').Select(s => s.Trim()
                .Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal)),
        ];
    }

    private static void RequireDepth(PatchOperationKind kind, string pointer, string[] path)
    {
        var expected = path[0] == "locations" && kind != PatchOperationKind.Replace ? 2 : 1;
        if (path.Length != expected)
        {
            throw ImageRules.Bad($"Invalid JSON pointer for this resource: '{ImageRules.Shown(pointer)}'");
        }
    }

    private static void RequireObject(JsonElement operation)
    {
        if (operation.ValueKind != JsonValueKind.Object)
        {
            throw ImageRules.Bad("Operations must be JSON objects.");
        }
    }
}
