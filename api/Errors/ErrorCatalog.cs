using System.Collections.Frozen;
using Grpc.Core;
using Registry.Storage.Domain;

namespace Registry.Api.Errors;

/// <summary>What an error code is to HTTP and gRPC clients.</summary>
/// <param name="HttpStatus">HTTP status.</param>
/// <param name="GrpcStatus">gRPC status.</param>
/// <param name="Name">The stable code in answers and logs.</param>
public readonly record struct ErrorEntry(int HttpStatus, StatusCode GrpcStatus, string Name);

/// <summary>The one table from error codes to statuses. Nothing else chooses a status for a refusal.</summary>
public static class ErrorCatalog
{
    private static readonly FrozenDictionary<ErrorCode, ErrorEntry> Entries = new Dictionary<ErrorCode, ErrorEntry>
    {
        [ErrorCode.BadRequest] = new(400, StatusCode.InvalidArgument, "bad_request"),
        [ErrorCode.Unauthenticated] = new(401, StatusCode.Unauthenticated, "unauthenticated"),
        [ErrorCode.Forbidden] = new(403, StatusCode.PermissionDenied, "forbidden"),
        [ErrorCode.Protected] = new(403, StatusCode.PermissionDenied, "protected"),
        [ErrorCode.NotFound] = new(404, StatusCode.NotFound, "not_found"),
        [ErrorCode.TooSlow] = new(408, StatusCode.DeadlineExceeded, "too_slow"),
        [ErrorCode.Conflict] = new(409, StatusCode.Aborted, "conflict"),
        [ErrorCode.InvalidStatusTransition] = new(409, StatusCode.FailedPrecondition, "invalid_status_transition"),
        [ErrorCode.DuplicateId] = new(409, StatusCode.AlreadyExists, "duplicate_id"),
        [ErrorCode.Fenced] = new(409, StatusCode.Aborted, "fenced"),
        [ErrorCode.Gone] = new(410, StatusCode.NotFound, "gone"),
        [ErrorCode.TooLarge] = new(413, StatusCode.ResourceExhausted, "too_large"),
        [ErrorCode.QuotaExceeded] = new(413, StatusCode.ResourceExhausted, "quota_exceeded"),
        [ErrorCode.StoreFull] = new(413, StatusCode.ResourceExhausted, "store_full"),
        [ErrorCode.UnsupportedMedia] = new(415, StatusCode.InvalidArgument, "unsupported_media_type"),
        [ErrorCode.ImageRejected] = new(415, StatusCode.InvalidArgument, "image_rejected"),
        [ErrorCode.RangeNotSatisfiable] = new(416, StatusCode.OutOfRange, "range_not_satisfiable"),
        [ErrorCode.StoreUnavailable] = new(503, StatusCode.Unavailable, "store_unavailable"),
        [ErrorCode.Busy] = new(503, StatusCode.Unavailable, "busy"),
        [ErrorCode.DatabaseUnavailable] = new(503, StatusCode.Unavailable, "database_unavailable"),
        [ErrorCode.IdentityUnavailable] = new(503, StatusCode.Unavailable, "identity_unavailable"),
        [ErrorCode.DataCorrupt] = new(500, StatusCode.DataLoss, "data_corrupt"),
    }.ToFrozenDictionary();

    /// <summary>All codes that have an entry.</summary>
    public static IEnumerable<ErrorCode> Codes => Entries.Keys;

    /// <summary>What gRPC says where HTTP says a status.</summary>
    public static StatusCode GrpcStatus(int httpStatus) =>
        Entries.Values.FirstOrDefault(entry => entry.HttpStatus == httpStatus, new(httpStatus, StatusCode.Unknown, ""))
            .GrpcStatus;

    /// <summary>The entry of a code.</summary>
    public static ErrorEntry Entry(ErrorCode code) => Entries[code];
}
