using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Which images to list, in which order, and from where on. All given filters must hold.</summary>
public sealed record ImageListRequest
{
    /// <summary>Most images in one page.</summary>
    public const int LimitMax = 1000;

    /// <summary>Most repeatable conditions in one request: tags, properties and times together. Each nests the query
    /// one level deeper, and databases and their drivers recurse over it.</summary>
    public const int ConditionsMax = 64;

    /// <summary>Only this visibility; null is what the viewer sees by default.</summary>
    public ImageVisibility? Visibility { get; init; }

    /// <summary>With no <see cref="Visibility"/>: others' community images too.</summary>
    public bool AllVisibilities { get; init; }

    /// <summary>Of the images shared with the viewer, those it answered so; null is all of them.</summary>
    public MemberStatus? MemberStatus { get; init; } = Domain.MemberStatus.Accepted;

    /// <summary>Hidden images, or those that are not; there is no "both".</summary>
    public bool IsHidden { get; init; }

    /// <summary>Protected, unprotected, or (null) both.</summary>
    public bool? IsProtected { get; init; }

    /// <summary>Owning project.</summary>
    public string? Owner { get; init; }

    /// <summary>Tags the image must all have.</summary>
    public IReadOnlyList<string> Tags { get; init; } = [];

    /// <summary>MD5, lower-case hex.</summary>
    public string? Checksum { get; init; }

    /// <summary>Algorithm of the secure hash.</summary>
    public string? HashAlgorithm { get; init; }

    /// <summary>Secure hash, lower-case hex.</summary>
    public string? HashValue { get; init; }

    /// <summary>Stored bytes.</summary>
    public NumberFilter Size { get; init; }

    /// <summary>Bytes of the disk inside.</summary>
    public NumberFilter VirtualSize { get; init; }

    /// <summary>MiB of memory.</summary>
    public NumberFilter MinRam { get; init; }

    /// <summary>GiB of disk.</summary>
    public NumberFilter MinDisk { get; init; }

    /// <summary>Names, any of; null does not filter.</summary>
    public IReadOnlyList<string>? Names { get; init; }

    /// <summary>Ids, any of; null does not filter.</summary>
    public IReadOnlyList<string>? Ids { get; init; }

    /// <summary>Glance's words for statuses, any of; one that does not exist matches nothing. Null does not
    /// filter.</summary>
    public IReadOnlyList<string>? Statuses { get; init; }

    /// <summary>Container formats, any of; null does not filter.</summary>
    public IReadOnlyList<string>? ContainerFormats { get; init; }

    /// <summary>Disk formats, any of; null does not filter.</summary>
    public IReadOnlyList<string>? DiskFormats { get; init; }

    /// <summary>Comparisons with the time of registration, all of.</summary>
    public IReadOnlyList<TimeFilter> CreatedAt { get; init; } = [];

    /// <summary>Comparisons with the time of the last change, all of.</summary>
    public IReadOnlyList<TimeFilter> UpdatedAt { get; init; } = [];

    /// <summary>Additional attributes and their exact values, all of.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Properties { get; init; } = [];

    /// <summary>Order, most significant key first; empty is newest first. Ties go by registration time, then id, in the
    /// direction of the keys where they agree and downwards where they do not.</summary>
    public IReadOnlyList<ImageSort> Sort { get; init; } = [];

    /// <summary>Id of the image that the page starts after.</summary>
    public string? Marker { get; init; }

    /// <summary>Most images to return, 0 to <see cref="LimitMax"/>.</summary>
    public int Limit { get; init; } = 25;
}

/// <summary>Bounds on a number; null ones do not filter. An unknown number matches no bound.</summary>
/// <param name="Exact">Equal to this.</param>
/// <param name="Min">This or more.</param>
/// <param name="Max">This or less.</param>
public readonly record struct NumberFilter(long? Exact, long? Min, long? Max);

/// <summary>How to compare with a time.</summary>
public enum TimeComparison
{
    /// <summary>At that time.</summary>
    Equal,

    /// <summary>At any other.</summary>
    NotEqual,

    /// <summary>Later.</summary>
    Greater,

    /// <summary>Then or later.</summary>
    GreaterOrEqual,

    /// <summary>Earlier.</summary>
    Less,

    /// <summary>Then or earlier.</summary>
    LessOrEqual,
}

/// <summary>A comparison with a time.</summary>
/// <remarks>Answers show whole seconds, so a time of whole seconds means the whole second: <c>eq</c> of what was shown
/// matches, <c>gt</c> of it does not.</remarks>
/// <param name="Comparison">How.</param>
/// <param name="Time">With what.</param>
public readonly record struct TimeFilter(TimeComparison Comparison, DateTimeOffset Time);

/// <summary>What lists are ordered by. Unknown values count as empty or zero.</summary>
public enum ImageSortKey
{
    /// <summary>Name, by bytes.</summary>
    Name,

    /// <summary>Glance's word for the status, by bytes.</summary>
    Status,

    /// <summary>Container format, by bytes.</summary>
    ContainerFormat,

    /// <summary>Disk format, by bytes.</summary>
    DiskFormat,

    /// <summary>Stored bytes.</summary>
    Size,

    /// <summary>Id, by bytes.</summary>
    Id,

    /// <summary>Time of registration.</summary>
    CreatedAt,

    /// <summary>Time of the last change.</summary>
    UpdatedAt,
}

/// <summary>A key and its direction.</summary>
/// <param name="Key">The key.</param>
/// <param name="IsDescending">Largest first.</param>
public readonly record struct ImageSort(ImageSortKey Key, bool IsDescending);
