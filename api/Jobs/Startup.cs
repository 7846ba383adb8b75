using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Cache;
using Registry.Api.Stores;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Jobs;

/// <summary>What happens before the ports open: the embedded database is brought up to date, and the uploads that a
/// killed process left are given up.</summary>
internal sealed partial class Startup(
    DatabaseMigrator migrator,
    UploadLedger ledger,
    JobQueue jobs,
    IDbContextFactory<RegistryDb> databases,
    StoreSet stores,
    LocalCache cache,
    IOptions<RegistryOptions> options,
    IHostApplicationLifetime lifetime,
    IServiceProvider services,
    ILogger<Startup> logger) : IHostedLifecycleService
{
    /// <inheritdoc/>
    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        if ((await migrator.UnknownAsync(cancellationToken)).Count > 0)
        {
            throw new ConfigurationException(
                "The database's schema is newer than this program: run the program that upgraded it.");
        }

        if (options.Value.IsEmbedded)
        {
            await migrator.MigrateAsync(cancellationToken);
            var given = await ledger.ReclaimAsync(exceptOwner: ImageData.ImageUploads.Owner, cancellationToken);
            await jobs.ReclaimAsync(cancellationToken);
            if (given.Count > 0)
            {
                Log.Reclaimed(logger, given.Count);
            }
        }
        else if ((await migrator.PendingAsync(cancellationToken)).Count > 0)
        {
            throw new ConfigurationException(
                "The database's schema is older than this program: run 'registry db upgrade'.");
        }

        cache.Open();
        await stores.PrepareAsync(cancellationToken);
        await WarmAsync(cancellationToken);
        lifetime.ApplicationStarted.Register(
            () => Log.Ready(logger, string.Join(", ", RegistryServer.Addresses(services))));
    }

    // A process's first query takes a tenth of a second more than the next: nobody shall wait for that.
    private async Task WarmAsync(CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        await ImageQueries.FindAsync(
            db, $"{Guid.Empty}", new Viewer(ProjectId: null, IsAdmin: true), tracking: false, cancellationToken);
    }

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private static partial class Log
    {
        [LoggerMessage(
            1, LogLevel.Warning,
            "{Count} uploads were cut off by the last stop; their images are queued again")]
        public static partial void Reclaimed(ILogger logger, int count);

        [LoggerMessage(2, LogLevel.Information, "ready: {Addresses} (HTTP, gRPC, metrics, NBD if wanted)")]
        public static partial void Ready(ILogger logger, string addresses);
    }
}
