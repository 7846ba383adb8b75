using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Errors;

/// <summary>Reads an exception as a refusal of ours, for HTTP and gRPC alike.</summary>
public static class Refusals
{
    private const int FileSystemIsReadOnly = 30;

    /// <summary>The refusal that an exception stands for; null when it is a fault of the server.</summary>
    public static RegistryException? From(Exception exception) => exception switch
    {
        RegistryException refusal => refusal,
        StoreFullException full => new(ErrorCode.StoreFull, full.Message),
        StoreUnavailableException away => new(ErrorCode.StoreUnavailable, away.Message, inner: away),
        StoreReadOnlyException fixedStore => new(ErrorCode.Gone, fixedStore.Message, "store_read_only"),
        BlobNotFoundException => new(ErrorCode.Gone, "The image's data is not in the store any more.", "data_gone"),
        BlobCorruptException corrupt => new(ErrorCode.DataCorrupt, corrupt.Message),
        // How Kestrel says that a chunk is longer than a number can tell: all its other refusals have a status.
        IOException { InnerException: OverflowException } => new(
            ErrorCode.BadRequest, "The size of a chunk of the request body cannot be read.", "bad_chunk"),
        IOException { HResult: FileSystemIsReadOnly } readOnly => new(
            ErrorCode.StoreUnavailable, "The server's file system is read-only.", "read_only", readOnly),
        _ when DatabaseFailures.IsFull(exception) => new(
            ErrorCode.StoreFull, "The database has no room left.", "store_full", exception),
        _ when DatabaseFailures.IsReadOnly(exception) => new(
            ErrorCode.DatabaseUnavailable, "The database is read-only.", "read_only", exception),
        _ when DatabaseFailures.IsDisk(exception) => new(
            ErrorCode.DatabaseUnavailable, "The database's disk failed.", inner: exception),
        _ when DatabaseFailures.MayPass(exception) => new(
            ErrorCode.DatabaseUnavailable, "The database does not answer.", inner: exception),
        _ => null,
    };
}
