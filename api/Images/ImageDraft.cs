namespace Registry.Api.Images;

/// <summary>A new image as a client describes it. Unset members have Glance's defaults.</summary>
public sealed record ImageDraft
{
    /// <summary>The client's own UUID; null = one is made.</summary>
    public string? Id { get; init; }

    /// <summary>Name for people.</summary>
    public string? Name { get; init; }

    /// <summary>Declared disk format.</summary>
    public string? DiskFormat { get; init; }

    /// <summary>Declared container format.</summary>
    public string? ContainerFormat { get; init; }

    /// <summary>public, community, shared or private.</summary>
    public string Visibility { get; init; } = "shared";

    /// <summary>Smallest disk in GiB.</summary>
    public long MinDisk { get; init; }

    /// <summary>Smallest memory in MiB.</summary>
    public long MinRam { get; init; }

    /// <summary>Whether deleting is refused.</summary>
    public bool IsProtected { get; init; }

    /// <summary>Whether it is left out of default lists.</summary>
    public bool IsHidden { get; init; }

    /// <summary>Owning project where the client names one.</summary>
    public string? Owner { get; init; }

    /// <summary>Whether the client named an owner at all (null is a value an administrator may give).</summary>
    public bool HasOwner { get; init; }

    /// <summary>Tags.</summary>
    public IReadOnlyList<string> Tags { get; init; } = [];

    /// <summary>Custom properties.</summary>
    public IReadOnlyDictionary<string, string> Properties { get; init; } = new Dictionary<string, string>();
}
