namespace Registry.Engine.Inspect;

/// <summary>The kinds of content that are not disks.</summary>
public enum OtherContentKind
{
    /// <summary>Compressed data: what is in it is not known.</summary>
    Compressed,

    /// <summary>An archive of files.</summary>
    Archive,

    /// <summary>A disk image in a format that is not read here.</summary>
    Image,
}

/// <summary>Content that is certainly not the plain bytes of a disk, and in none of the formats that are
/// read.</summary>
/// <param name="Name">What it is, in letters that may stand in messages.</param>
/// <param name="Kind">Its kind.</param>
public sealed record OtherContent(string Name, OtherContentKind Kind)
{
    /// <summary>The name of <see cref="OtherContent"/> that is an OVA archive.</summary>
    public const string Ova = "ova";

    /// <summary>What a user can do about it.</summary>
    public string Advice => Kind switch
    {
        OtherContentKind.Compressed => "unpack it, or declare container_format compressed",
        OtherContentKind.Archive when Name == Ova => "take the disk out of it, or declare container_format ova",
        OtherContentKind.Archive => "take the disk out of it",
        _ => "convert it to qcow2 or raw",
    };
}
