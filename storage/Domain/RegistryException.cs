namespace Registry.Storage.Domain;

/// <summary>Why a request was refused. The server maps each to an HTTP and a gRPC status, in one table.</summary>
public enum ErrorCode
{
    /// <summary>It does not exist, or the caller may not know that it does.</summary>
    NotFound,

    /// <summary>It contradicts the present state, for example somebody else's concurrent change.</summary>
    Conflict,

    /// <summary>The status machine has no such move.</summary>
    InvalidStatusTransition,

    /// <summary>The caller sees it but may not do this.</summary>
    Forbidden,

    /// <summary>The id is taken, perhaps by an image deleted long ago.</summary>
    DuplicateId,

    /// <summary>The request makes no sense.</summary>
    BadRequest,

    /// <summary>The bytes are not what they were said to be, or of a kind not accepted.</summary>
    UnsupportedMedia,

    /// <summary>A limit on size or number was exceeded.</summary>
    TooLarge,

    /// <summary>The project's quota is used up.</summary>
    QuotaExceeded,

    /// <summary>It was there and is not any more.</summary>
    Gone,

    /// <summary>The range lies outside of the bytes.</summary>
    RangeNotSatisfiable,

    /// <summary>The store has no room left.</summary>
    StoreFull,

    /// <summary>The store cannot be reached or failed.</summary>
    StoreUnavailable,

    /// <summary>The server does as much of this at once as it may; try again later.</summary>
    Busy,

    /// <summary>The client sends too slowly, or nothing at all.</summary>
    TooSlow,

    /// <summary>The database cannot be reached or failed; the outcome may be unknown.</summary>
    DatabaseUnavailable,

    /// <summary>The image is protected against deletion.</summary>
    Protected,

    /// <summary>The uploaded bytes failed the safety checks.</summary>
    ImageRejected,

    /// <summary>Another actor took over meanwhile; whatever was done is void.</summary>
    Fenced,

    /// <summary>Stored bytes are not the bytes that were uploaded.</summary>
    DataCorrupt,

    /// <summary>Nobody said credibly who is asking.</summary>
    Unauthenticated,

    /// <summary>The identity service cannot be reached or failed.</summary>
    IdentityUnavailable,
}

/// <summary>A refusal the caller can do something about; never a bug and never bad bytes inside of an image.</summary>
/// <param name="code">What kind of refusal.</param>
/// <param name="message">One sentence for the caller.</param>
/// <param name="reason">A stable machine-readable word under the code, or null.</param>
/// <param name="inner">What lies behind it, for the log.</param>
public sealed class RegistryException(ErrorCode code, string message, string? reason = null, Exception? inner = null)
    : Exception(message, inner)
{
    /// <summary>What kind of refusal.</summary>
    public ErrorCode Code { get; } = code;

    /// <summary>A stable machine-readable word under the code, or null.</summary>
    public string? Reason { get; } = reason;
}
