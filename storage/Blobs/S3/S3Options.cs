using System.Security.Cryptography.X509Certificates;
using Registry.Storage.Blobs.Remote;
using Registry.Storage.Memory;

namespace Registry.Storage.Blobs.S3;

/// <summary>Where a bucket is and how it is spoken to.</summary>
public sealed record S3Options
{
    /// <summary>Default of <see cref="SegmentBytes"/>.</summary>
    public const int DefaultSegmentBytes = 24 << 20;

    /// <summary>Scheme, host and port.</summary>
    public required Uri Endpoint { get; init; }

    /// <summary>Region that signatures name.</summary>
    public required string Region { get; init; }

    /// <summary>The bucket.</summary>
    public required string Bucket { get; init; }

    /// <summary>What the names of all objects begin with; empty, or with a slash at its end.</summary>
    public string Prefix { get; init; } = "";

    /// <summary>Access key.</summary>
    public required string AccessKey { get; init; }

    /// <summary>Secret key.</summary>
    public required string SecretKey { get; init; }

    /// <summary>Whether to make the bucket where there is none.</summary>
    public bool CreateBucket { get; init; }

    /// <summary>Certificates to trust instead of the system's; null for the system's.</summary>
    public X509Certificate2Collection? Authorities { get; init; }

    /// <summary>How long the store is waited for.</summary>
    public StorePatience Patience { get; init; } = StorePatience.Default;

    /// <summary>Whether an object is read back after it was written where the store's answer does not confirm its
    /// checksum: by an ETag that is the MD5 of the bytes.</summary>
    public bool VerifiesUnconfirmedWrites { get; init; } = true;

    /// <summary>Bytes of an object of data; a multiple of 64 KiB. New blobs only: each remembers its own.</summary>
    /// <remarks>Of 16 to 64 MiB, with what an upload may hold in mind: three of them, so that two are always on their
    /// way, are 72 MiB. Larger ones were no faster.</remarks>
    public int SegmentBytes { get; init; } = DefaultSegmentBytes;

    /// <summary>Where segments beyond the one that each upload needs are taken from; null for no limit but their
    /// number.</summary>
    public MemoryBudget? Memory { get; init; }

    /// <summary>Most segments of data that one upload holds in memory: one is filled, the others are sent.</summary>
    public int SegmentsHeld { get; init; } = 3;

    /// <summary>Says everything but the secrets.</summary>
    public override string ToString() => $"{Endpoint} {Bucket}/{Prefix} ({Region})";
}
