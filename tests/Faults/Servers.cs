using Registry.Support;

namespace Registry.Faults;

/// <summary>The servers that sites share, each started when the first site asks: a PostgreSQL and an S3 server.</summary>
internal sealed class Servers : IAsyncDisposable
{
    private PostgresServer? _postgres;
    private CephS3? _s3;
    private int _databases;

    /// <summary>A database server.</summary>
    public async Task<PostgresServer> PostgresAsync()
    {
        if (PostgresServer.FindBinaries() is null)
        {
            throw new CannotRunException("PostgreSQL is not installed");
        }

        return _postgres ??= await PostgresServer.StartAsync();
    }

    /// <summary>A store.</summary>
    public async Task<CephS3> S3Async()
    {
        if (!CephS3.IsInstalled)
        {
            throw new CannotRunException("Ceph's S3 gateway is not installed");
        }

        return _s3 ??= await CephS3.StartAsync();
    }

    /// <summary>A new, empty database.</summary>
    public async Task<string> NewDatabaseAsync()
    {
        var name = $"faults{++_databases}";
        await (await PostgresAsync()).CreateDatabaseAsync(name);
        return name;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_postgres is not null)
        {
            await _postgres.DisposeAsync();
        }

        if (_s3 is not null)
        {
            await _s3.DisposeAsync();
        }
    }
}
