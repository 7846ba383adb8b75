using Registry.Engine.Crypto;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

/// <summary>The shape of a new qcow2 image; names and defaults as in <c>qemu-img create -o</c>.</summary>
public sealed record QcowCreateOptions
{
    /// <summary>Virtual size in bytes; rounded up to a multiple of 512.</summary>
    public required long Size { get; init; }

    /// <summary>Version, clusters, counts, compression.</summary>
    public QcowShape Shape { get; init; } = QcowShape.Default;

    /// <summary>The backing file's name as it will be stored; null for none.</summary>
    public string? BackingName { get; init; }

    /// <summary>The backing file's format as it will be stored.</summary>
    public string? BackingFormat { get; init; }

    /// <summary>The external data file's name as it will be stored; null for none.</summary>
    public string? DataFileName { get; init; }

    /// <summary>Whether the data file shall be a raw disk by itself.</summary>
    public bool IsDataFileRaw { get; init; }

    /// <summary>How the content is encrypted; null for not at all. The passphrase comes from the options to
    /// open.</summary>
    public LuksOptions? Luks { get; init; }

    /// <summary>Judges the options together.</summary>
    /// <exception cref="DiskOperationException">They contradict each other or the format.</exception>
    public void Validate()
    {
        Shape.Validate();
        Require(Size >= 0, "The size must not be negative.");
        Require(
            Shape.Version >= 3 || DataFileName is null,
            "External data files are only supported with compatibility level 1.1 and above.");
        Require(!IsDataFileRaw || DataFileName is not null, "data-file-raw requires data-file.");
        Require(
            !IsDataFileRaw || BackingName is null,
            "Backing file and data-file-raw cannot be used at the same time.");
    }

    private static void Require(bool condition, string sentence)
    {
        if (!condition)
        {
            throw new DiskOperationException(sentence);
        }
    }
}
