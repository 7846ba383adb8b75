namespace Registry.Engine.Disks;

/// <summary>Why bytes were refused as a disk image. Codes are stable: they reach users as reason codes.</summary>
public enum FormatError
{
    /// <summary>The magic number is not that of the format.</summary>
    BadMagic,

    /// <summary>A version that is not supported.</summary>
    UnsupportedVersion,

    /// <summary>The file ends before a structure that it promises.</summary>
    Truncated,

    /// <summary>A header field is outside its legal range.</summary>
    InvalidHeader,

    /// <summary>A header extension is malformed.</summary>
    InvalidExtension,

    /// <summary>An incompatible feature bit that is not known.</summary>
    UnknownFeature,

    /// <summary>A known feature that this reader does not support.</summary>
    UnsupportedFeature,

    /// <summary>The image is marked dirty: its reference counts may lag.</summary>
    DirtyImage,

    /// <summary>The image is marked corrupt.</summary>
    CorruptImage,

    /// <summary>The image names a backing file, which may not be opened here.</summary>
    BackingFileRefused,

    /// <summary>The image names an external data file or extent, which may not be opened here.</summary>
    DataFileRefused,

    /// <summary>The image is encrypted and no key was given.</summary>
    Encrypted,

    /// <summary>The passphrase opens none of the image's key slots.</summary>
    WrongPassphrase,

    /// <summary>A backing chain comes back to an image that it already holds, or is too long.</summary>
    BackingChainTooLong,

    /// <summary>The snapshot asked for is not in the image.</summary>
    UnknownSnapshot,

    /// <summary>A table is larger than the limit for it.</summary>
    TableTooLarge,

    /// <summary>A table or cluster lies outside the file.</summary>
    OutsideFile,

    /// <summary>A table or cluster offset is not aligned as the format requires.</summary>
    Misaligned,

    /// <summary>A table entry contradicts the format.</summary>
    InvalidTableEntry,

    /// <summary>Guest data lies on top of the image's own metadata.</summary>
    OverlapsMetadata,

    /// <summary>One stored cluster is referenced more than once.</summary>
    SharedCluster,

    /// <summary>A compressed cluster does not decode to a whole cluster.</summary>
    BadCompressedData,

    /// <summary>The virtual size is beyond the limit.</summary>
    VirtualSizeTooLarge,

    /// <summary>The work this file asks for is beyond the budget.</summary>
    BudgetExceeded,

    /// <summary>A cluster would be referenced more often than the image's reference counts can say.</summary>
    RefcountOverflow,

    /// <summary>The content matches more than one format.</summary>
    AmbiguousFormat,

    /// <summary>The content is not of the declared format.</summary>
    FormatMismatch,

    /// <summary>The format is known but never accepted.</summary>
    FormatBanned,

    /// <summary>The content is compressed, an archive, or an image in a format that is not read.</summary>
    NotADisk,
}
