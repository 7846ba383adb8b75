using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Images;

/// <summary>Reads the order of a list: <c>sort=key[:dir],…</c>, or repeated <c>sort_key</c> and <c>sort_dir</c>
/// (spec/glance-v2.md, 6).</summary>
internal static class ImageSortQuery
{
    /// <summary>Reads the order from a query.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static IReadOnlyList<ImageSort> Read(IQueryCollection query)
    {
        var (keys, directions) = (query["sort_key"], query["sort_dir"]);
        if (query.TryGetValue("sort", out var sort))
        {
            return keys.Count == 0 && directions.Count == 0
                ? Parse((sort[^1] ?? "").Split(','))
                : throw ImageRules.Bad("Old and new sorting syntax cannot be combined");
        }

        if (keys.Count == 0)
        {
            keys = "created_at";
        }

        if (directions.Count > 1 && directions.Count != keys.Count)
        {
            throw ImageRules.Bad("Number of sort dirs does not match the number of sort keys");
        }

        return
        [
            .. keys.Select((key, i) => new ImageSort(
                Key(key ?? ""),
                directions.Count == 0 || IsDescending(directions[directions.Count == 1 ? 0 : i] ?? ""))),
        ];
    }

    /// <summary>Reads <c>key[:dir]</c> items; the direction is desc unless said.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static IReadOnlyList<ImageSort> Parse(IEnumerable<string> items) =>
    [
        .. items.Select(item => item.Trim().Split(':', 2)).Select(parts =>
            new ImageSort(Key(parts[0].Trim()), parts is [_] or [_, ""] || IsDescending(parts[1].Trim()))),
    ];

    private static ImageSortKey Key(string key) => key switch
    {
        "name" => ImageSortKey.Name,
        "status" => ImageSortKey.Status,
        "container_format" => ImageSortKey.ContainerFormat,
        "disk_format" => ImageSortKey.DiskFormat,
        "size" => ImageSortKey.Size,
        "id" => ImageSortKey.Id,
        "created_at" => ImageSortKey.CreatedAt,
        "updated_at" => ImageSortKey.UpdatedAt,
        _ => throw ImageRules.Bad(
            $"Invalid sort key: {ImageRules.Shown(key)}. It must be one of the following: name, status, " +
            "container_format, disk_format, size, id, created_at, updated_at."),
    };

    private static bool IsDescending(string direction) => direction switch
    {
        "asc" => false,
        "desc" => true,
        _ => throw ImageRules.Bad(
            $"Invalid sort direction: {ImageRules.Shown(direction)}. It must be one of asc, desc."),
    };
}
