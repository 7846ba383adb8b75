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
    DatabaseOptions database,
    IHostApplicationLifetime lifetime,
    IServiceProvider services,
    TimeProvider clock,
    ILogger<Startup> logger) : IHostedLifecycleService
{
    private const string DatabaseRemedy =
        "check that the database can be reached, has room, and is not locked by another program, and start again";

    private static readonly TimeSpan DatabaseLimit = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan StoresLimit = TimeSpan.FromMinutes(3);

    // An index over millions of rows is built in minutes.
    private static readonly TimeSpan UpgradeLimit = TimeSpan.FromHours(1);

    private RegistryDb? _kept;

    private bool IsReadOnly => database.Reserve is { IsReadOnly: true };

    /// <inheritdoc/>
    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        database.Reserve?.Logger = logger;
        var steps = new StartStep(clock, logger);
        await steps.RunAsync(
            "the check of the database's schema", DatabaseLimit, DatabaseRemedy, CheckSchemaAsync, cancellationToken);
        if (options.Value.IsEmbedded && !IsReadOnly)
        {
            await steps.RunAsync(
                "the upgrade of the database's schema", UpgradeLimit, DatabaseRemedy, migrator.MigrateAsync,
                cancellationToken);
            await steps.RunAsync(
                "the release of what the last process left", DatabaseLimit, DatabaseRemedy, ReclaimAsync,
                cancellationToken);
            await steps.RunAsync("the database", DatabaseLimit, DatabaseRemedy, KeepOpenAsync, cancellationToken);
        }

        cache.Open();
        await steps.RunAsync(
            "the stores", StoresLimit, "check Registry:Stores and whether the stores can be reached",
            stores.PrepareAsync, cancellationToken);
        await steps.RunAsync("a first query", DatabaseLimit, DatabaseRemedy, WarmAsync, cancellationToken);
        lifetime.ApplicationStarted.Register(
            () => Log.Ready(logger, string.Join(", ", RegistryServer.Addresses(services))));
    }

    private async Task CheckSchemaAsync(CancellationToken cancellationToken)
    {
        if ((await migrator.UnknownAsync(cancellationToken)).Count > 0)
        {
            throw new ConfigurationException(
                "The database's schema is newer than this program: run the program that upgraded it.");
        }

        if ((!options.Value.IsEmbedded || IsReadOnly) && (await migrator.PendingAsync(cancellationToken)).Count > 0)
        {
            throw new ConfigurationException(
                "The database's schema is older than this program: run 'registry db upgrade'" +
                (IsReadOnly ? " where its file system is not read-only." : "."));
        }
    }

    // SQLite removes its log with the last connection, and making it again takes room that a full disk has not.
    private async Task KeepOpenAsync(CancellationToken cancellationToken)
    {
        _kept = await databases.CreateDbContextAsync(cancellationToken);
        await _kept.Database.OpenConnectionAsync(cancellationToken);
        await _kept.Images.AnyAsync(cancellationToken);
    }

    private async Task ReclaimAsync(CancellationToken cancellationToken)
    {
        var given = await ledger.ReclaimAsync(exceptOwner: ImageData.ImageUploads.Owner, cancellationToken);
        await jobs.ReclaimAsync(cancellationToken);
        if (given.Count > 0)
        {
            Log.Reclaimed(logger, given.Count);
        }
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
    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        if (_kept is not null)
        {
            await _kept.Database.CloseConnectionAsync();
            await _kept.DisposeAsync();
        }
    }

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
