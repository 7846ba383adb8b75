using Registry.Api.Images;
using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;
using Registry.Storage.Metadata;

namespace Registry.Api.Metadefs;

/// <summary>Reads requests for lists of namespaces, objects and tags (spec/glance-v2.md, 11).</summary>
internal static class MetadefListQuery
{
    /// <summary>Reads the query of a list of namespaces.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static MetadefListRequest Read(IQueryCollection query, LimitsSection limits) => new()
    {
        Limit = Last(query, "limit") is { } limit ? ImageListQuery.Limit(limit, limits.ListMax) : limits.ListDefault,
        Marker = Last(query, "marker"),
        IsPublic = Last(query, "visibility") is { Length: > 0 } word ? MetadefReader.IsPublic(word) : null,
        ResourceTypes = Last(query, "resource_types") is { Length: > 0 } types ? types.Split(',') : null,
        SortKey = Last(query, "sort_key") switch
        {
            null or "created_at" => MetadefSortKey.CreatedAt,
            "updated_at" => MetadefSortKey.UpdatedAt,
            "namespace" => MetadefSortKey.Name,
            { } key => throw ImageRules.Bad(
                $"Invalid sort key: {ImageRules.Shown(key)}. It must be one of created_at, updated_at, namespace."),
        },
        IsDescending = IsDescending(query),
    };

    /// <summary>A page of objects.</summary>
    /// <returns>The page, and whether there are more behind it.</returns>
    /// <exception cref="RegistryException">BadRequest; NotFound for an unknown marker.</exception>
    public static (IReadOnlyList<MetadefObject> Page, bool HasMore) Page(
        IQueryCollection query, MetadefNamespace definitions)
    {
        var marker = Last(query, "marker") is { } name ? definitions.FindObject(name) : null;
        return Page(query, definitions.Objects, marker, o => o.Name, o => o.CreatedAt, o => o.UpdatedAt);
    }

    /// <summary>A page of tags.</summary>
    /// <returns>The page, and whether there are more behind it.</returns>
    /// <exception cref="RegistryException">BadRequest; NotFound for an unknown marker.</exception>
    public static (IReadOnlyList<MetadefTag> Page, bool HasMore) TagPage(
        IQueryCollection query, MetadefNamespace definitions)
    {
        var marker = Last(query, "marker") is { } name ? definitions.FindTag(name) : null;
        return Page(query, definitions.Tags, marker, t => t.NameKey, t => t.CreatedAt, t => t.UpdatedAt);
    }

    private static (IReadOnlyList<T> Page, bool HasMore) Page<T>(
        IQueryCollection query,
        IEnumerable<T> parts,
        T? marker,
        Func<T, string> name,
        Func<T, DateTimeOffset> createdAt,
        Func<T, DateTimeOffset> updatedAt)
        where T : class
    {
        var limit = Last(query, "limit") is { } text
            ? ImageListQuery.Limit(text, MetadefNamespace.PartsMax)
            : MetadefNamespace.PartsMax;
        if (limit == 0)
        {
            throw ImageRules.Bad("limit param must be positive.");
        }

        var time = Last(query, "sort_key") switch
        {
            null or "created_at" => createdAt,
            "updated_at" => updatedAt,
            "name" => (Func<T, DateTimeOffset>)(_ => default),
            { } key => throw ImageRules.Bad(
                $"Invalid sort key: {ImageRules.Shown(key)}. It must be one of created_at, updated_at, name."),
        };
        var ordered = IsDescending(query)
            ? parts.OrderByDescending(time).ThenByDescending(name, StringComparer.Ordinal)
            : parts.OrderBy(time).ThenBy(name, StringComparer.Ordinal);
        var rest = marker is null ? ordered : ordered.SkipWhile(part => part != marker).Skip(1);
        T[] page = [.. rest.Take(limit + 1)];
        return page.Length > limit ? (page[..limit], true) : (page, false);
    }

    private static bool IsDescending(IQueryCollection query) => Last(query, "sort_dir") switch
    {
        null or "desc" => true,
        "asc" => false,
        { } direction => throw ImageRules.Bad(
            $"Invalid sort direction: {ImageRules.Shown(direction)}. It must be one of asc, desc."),
    };

    private static string? Last(IQueryCollection query, string name)
    {
        var values = query[name];
        if (values.Count == 0)
        {
            return null;
        }

        var value = values[^1] ?? "";
        ImageRules.RequireNoNul(name, value);
        return value;
    }
}
