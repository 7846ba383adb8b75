using System.Net;

namespace Registry.Storage.Blobs.Remote;

/// <summary>A distant store answered with an error. Holds no address: those may be signed.</summary>
/// <param name="status">HTTP status.</param>
/// <param name="code">The store's own word for it, letters and digits only; empty when it said none.</param>
internal sealed class StoreStatusException(HttpStatusCode status, string code)
    : IOException(
        code == ClockCode ? $"answered {(int)status} {code}: the clocks of this machine and of the store differ"
        : code.Length > 0 ? $"answered {(int)status} {code}" : $"answered {(int)status}")
{
    /// <summary>The code of an answer to a request that is signed at another time than the store's.</summary>
    internal const string ClockCode = "RequestTimeTooSkewed";

    /// <summary>HTTP status.</summary>
    public HttpStatusCode Status { get; } = status;

    /// <summary>The store's own word for it.</summary>
    public string Code { get; } = code;

    /// <summary>Whether what was asked for is not there.</summary>
    public bool IsNotFound => Status == HttpStatusCode.NotFound && Code != "NoSuchBucket";

    /// <summary>Whether the store has no room: Ceph and Amazon call it a quota, MinIO a full storage.</summary>
    public bool IsFull =>
        Status == HttpStatusCode.InsufficientStorage || Code is "QuotaExceeded" or "XMinioStorageFull";

    /// <summary>Whether the same request may work a moment later.</summary>
    public bool MayPass =>
        Status is HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests || ((int)Status >= 500 && !IsFull
            && Status is not (HttpStatusCode.NotImplemented or HttpStatusCode.HttpVersionNotSupported))
        || IsDamagedBody || Code == ClockCode;

    /// <summary>Whether the store got other bytes than the checksum of the request says.</summary>
    public bool IsDamagedBody =>
        Code is "BadDigest" or "InvalidDigest" or "XAmzContentSHA256Mismatch" or "IncompleteBody";

    /// <summary>Whether a bit that flipped in the request makes a store answer this: a signature, a method or a name that
    /// is not what was sent.</summary>
    public bool MayBeGarbled => (int)Status is (>= 400 and < 500) or 501 or 505
        && Status != HttpStatusCode.RequestedRangeNotSatisfiable && !IsNotFound && !IsFull && Code != RangeCode;

    /// <summary>The code of an answer that is not the range that was asked for.</summary>
    internal const string RangeCode = "Range";
}
