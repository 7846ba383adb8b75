namespace Registry.Storage.Metadata;

/// <summary>What lists of namespaces are ordered by; ties go by name in the same direction.</summary>
public enum MetadefSortKey
{
    /// <summary>Time it was made.</summary>
    CreatedAt,

    /// <summary>Time of the last change.</summary>
    UpdatedAt,

    /// <summary>Name, by bytes.</summary>
    Name,
}

/// <summary>Which namespaces to list, in which order, and from where on.</summary>
public sealed record MetadefListRequest
{
    /// <summary>Public or private ones only; null is both.</summary>
    public bool? IsPublic { get; init; }

    /// <summary>Only those for any of these types of resources; null does not filter.</summary>
    public IReadOnlyList<string>? ResourceTypes { get; init; }

    /// <summary>The order.</summary>
    public MetadefSortKey SortKey { get; init; }

    /// <summary>Largest first.</summary>
    public bool IsDescending { get; init; } = true;

    /// <summary>Name of the namespace that the page starts after.</summary>
    public string? Marker { get; init; }

    /// <summary>Most namespaces to return, 0 or more.</summary>
    public int Limit { get; init; } = 25;
}
