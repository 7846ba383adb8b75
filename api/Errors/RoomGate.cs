using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Errors;

/// <summary>Refuses what would write while the embedded database's disk is full or read-only, so that the little room that
/// is left serves deletions.</summary>
internal sealed class RoomGate(DatabaseOptions database)
{
    // gRPC's methods that write and free nothing; HTTP's are known by their verb.
    private static readonly HashSet<string> Writers = new(StringComparer.Ordinal)
    {
        "/registry.v1.Images/Create", "/registry.v1.Images/Update", "/registry.v1.Images/Upload",
        "/registry.v1.Jobs/Copy", "/registry.v1.Jobs/Provision", "/registry.v1.Jobs/Scrub",
    };

    /// <summary>What is wrong, for health checks; null for nothing.</summary>
    public string? Problem => database.Reserve switch
    {
        { IsReadOnly: true } => "read_only: the data directory is on a read-only file system; only reading works",
        { IsSpent: true } => "store_full: the disk of the data directory is full; only reading and deleting work",
        _ => null,
    };

    /// <summary>Runs the gate before the endpoints.</summary>
    public Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        if (Listeners.Of(context) == Listener.Http && IsWriter(context.Request))
        {
            RequireRoom();
        }

        return next(context);
    }

    /// <summary>Refuses a gRPC call that would write.</summary>
    /// <exception cref="RegistryException">StoreFull or StoreUnavailable: it would.</exception>
    public void RequireRoom(string method)
    {
        if (Writers.Contains(method))
        {
            RequireRoom();
        }
    }

    private void RequireRoom()
    {
        switch (database.Reserve)
        {
            case { IsReadOnly: true }:
                throw new RegistryException(
                    ErrorCode.StoreUnavailable, "The server's file system is read-only.", "read_only");
            case { IsSpent: true }:
                throw new RegistryException(
                    ErrorCode.StoreFull, "The server's disk is full: only reading and deleting work.", "store_full");
        }
    }

    // A ticket for NBD is made in memory.
    private static bool IsWriter(HttpRequest request) =>
        (HttpMethods.IsPost(request.Method) || HttpMethods.IsPut(request.Method) || HttpMethods.IsPatch(request.Method))
        && !request.Path.Value!.EndsWith("/nbd", StringComparison.Ordinal);
}
