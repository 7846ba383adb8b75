namespace Registry.Engine.Disks;

/// <summary>How a disk image is opened.</summary>
public sealed record DiskOpenOptions
{
    /// <summary>For uploads and stored images: nothing that an image names is opened.</summary>
    public static DiskOpenOptions Strict { get; } = new();

    /// <summary>For a local file that the user named: what it names is opened beside it.</summary>
    /// <param name="path">The file.</param>
    public static DiskOpenOptions Local(string path) =>
        new() { Gate = new LocalFilesGate(path), Limits = Limits.Local };

    /// <summary>Decides on what the image names.</summary>
    public IOpenGate Gate { get; init; } = DenyGate.Instance;

    /// <summary>The caps.</summary>
    public Limits Limits { get; init; } = Limits.Strict;

    /// <summary>Asked for the passphrase, in UTF-8, when an image of the chain is encrypted; null when there is none,
    /// and encrypted images are refused.</summary>
    public Func<CancellationToken, ValueTask<ReadOnlyMemory<byte>>>? Passphrase { get; init; }

    /// <summary>Id or name of the internal snapshot to open instead of the active disk; null for the active disk.
    /// <c>snapshot.id=ID</c> and <c>snapshot.name=NAME</c> (also both, with a comma) say which of the two is
    /// meant.</summary>
    public string? Snapshot { get; init; }

    /// <summary>Whether only what the image says of itself is wanted: no backing file, data file or key is opened, and
    /// the content cannot be read.</summary>
    public bool MetadataOnly { get; init; }
}
