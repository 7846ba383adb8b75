using System.Text.Json;
using System.Text.Json.Nodes;
using Registry.Api.Images;

namespace Registry.Api.Cli;

/// <summary>An image as a server of the Image API describes it, and what of that another server can be told.</summary>
internal sealed class ReplicaImage
{
    private static readonly string[] Attributes =
        ["name", "disk_format", "container_format", "visibility", "min_disk", "min_ram", "protected", "os_hidden"];

    // What a server says of an image by itself.
    private static readonly HashSet<string> Kept = ["stores", "locations", "direct_url"];

    private readonly SortedDictionary<string, JsonNode?> _said = new(StringComparer.Ordinal);

    /// <summary>Reads a description.</summary>
    /// <param name="image">The image.</param>
    /// <param name="withOwner">Whether the owner counts.</param>
    public ReplicaImage(JsonElement image, bool withOwner)
    {
        (Id, Name, Status) = (NamedServer.RequireId(Text(image, "id")), Text(image, "name"), Text(image, "status") ?? "");
        (Owner, IsShared) = (Text(image, "owner"), Text(image, "visibility") == "shared");
        (Checksum, Algorithm, Hash) = (Text(image, "checksum"), Text(image, "os_hash_algo"), Text(image, "os_hash_value"));
        Size = image.TryGetProperty("size", out var size) && size.ValueKind == JsonValueKind.Number ? size.GetInt64() : null;
        foreach (var name in withOwner ? [.. Attributes, "owner"] : Attributes)
        {
            _said[name] = image.TryGetProperty(name, out var value) ? JsonSerializer.SerializeToNode(value) : null;
        }

        _said["tags"] = new JsonArray(
            [.. image.TryGetProperty("tags", out var tags)
                ? tags.EnumerateArray().Select(tag => tag.GetString()).Order(StringComparer.Ordinal)
                    .Select(tag => (JsonNode?)JsonValue.Create(tag))
                : []]);
        foreach (var member in image.EnumerateObject().Where(IsProperty))
        {
            _said[member.Name] = JsonValue.Create(member.Value.GetString());
        }
    }

    /// <summary>The id.</summary>
    public string Id { get; }

    /// <summary>The name; null for none.</summary>
    public string? Name { get; }

    /// <summary>The project that owns it; null for none.</summary>
    public string? Owner { get; }

    /// <summary>Whether it can have members.</summary>
    public bool IsShared { get; }

    /// <summary>The status.</summary>
    public string Status { get; }

    /// <summary>Bytes; null when it has none.</summary>
    public long? Size { get; }

    /// <summary>MD5, lower-case hex; null when it has none.</summary>
    public string? Checksum { get; }

    /// <summary>Algorithm of <see cref="Hash"/>.</summary>
    public string? Algorithm { get; }

    /// <summary>Secure hash, lower-case hex; null when it has none.</summary>
    public string? Hash { get; }

    /// <summary>Whether it must not be deleted.</summary>
    public bool IsProtected => _said["protected"] is { } value && value.GetValue<bool>();

    /// <summary>Whether another image has the same bytes, as far as both say.</summary>
    public bool HasBytesOf(ReplicaImage other) => Size == other.Size
        && (Hash is not null && Algorithm == other.Algorithm
            ? Hash == other.Hash
            : Checksum is not null && Checksum == other.Checksum);

    /// <summary>What another image says otherwise, sorted.</summary>
    public IReadOnlyList<string> DifferencesTo(ReplicaImage other) =>
    [
        .. _said.Keys.Union(other._said.Keys).Order(StringComparer.Ordinal)
            .Where(name => !JsonNode.DeepEquals(_said.GetValueOrDefault(name), other._said.GetValueOrDefault(name))),
    ];

    /// <summary>The body of a request that makes this image. It is not protected yet: who could not go on with it could not
    /// take it away either.</summary>
    public string ToCreate()
    {
        var body = new JsonObject { ["id"] = Id };
        foreach (var (name, value) in _said.Where(said => said.Value is not null && said.Key != "protected"))
        {
            body[name] = value!.DeepClone();
        }

        return body.ToJsonString();
    }

    /// <summary>The body of a PATCH that makes another image say what this one says.</summary>
    /// <param name="differences">What to change.</param>
    public string ToPatch(IEnumerable<string> differences)
    {
        var patch = new JsonArray();
        foreach (var name in differences)
        {
            var isSaid = _said.TryGetValue(name, out var value);
            var operation = new JsonObject
            {
                ["op"] = !isSaid ? "remove" : ImageAttributes.IsBase(name) ? "replace" : "add",
                ["path"] = "/" + name.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal),
            };
            if (isSaid)
            {
                operation["value"] = value?.DeepClone();
            }

            patch.Add(operation);
        }

        return patch.ToJsonString();
    }

    private static bool IsProperty(JsonProperty member) =>
        member.Value.ValueKind == JsonValueKind.String && !ImageAttributes.IsBase(member.Name)
        && !Kept.Contains(member.Name) && !member.Name.StartsWith("os_glance", StringComparison.Ordinal);

    private static string? Text(JsonElement image, string name) =>
        image.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
