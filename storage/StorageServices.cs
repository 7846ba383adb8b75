using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Registry.Storage.Blobs;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Storage;

/// <summary>What storage offers to the container.</summary>
public static class StorageServices
{
    /// <summary>Adds the metadata side: contexts (pooled, through <see cref="IDbContextFactory{TContext}"/>), the
    /// migrator, the editor, the ledgers, the job queue, the reaper and the scrub. Blob stores are the configuration's business.</summary>
    /// <param name="services">The container; with an <see cref="IProjectLimits"/> where there are further limits.</param>
    /// <param name="database">The database.</param>
    /// <param name="bytesPerProject">Most bytes that a project keeps; null for no limit.</param>
    public static IServiceCollection AddRegistryStorage(
        this IServiceCollection services, DatabaseOptions database, long? bytesPerProject)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.AddPooledDbContextFactory<RegistryDb>((provider, builder) =>
        {
            DatabaseDialect.Use(builder, database);
            if (database.Events is { } events)
            {
                builder.AddInterceptors(new EventRecorder(events, provider.GetRequiredService<TimeProvider>()));
            }

            if (database.PropertyBytesMax is { } max)
            {
                builder.AddInterceptors(new PropertyLimit(max));
            }
        });
        services.AddSingleton(
            provider => new StorageQuota(bytesPerProject, provider.GetService<IProjectLimits>()));
        services.AddSingleton<DatabaseMigrator>();
        services.AddSingleton<DatabasePurge>();
        services.AddSingleton<ImageEditor>();
        services.AddSingleton<MetadefEditor>();
        services.AddSingleton<UploadLedger>();
        services.AddSingleton<BlobRemoval>();
        services.AddSingleton<BlobReaper>();
        services.AddSingleton<BlobScrub>();
        services.AddSingleton<CopyLedger>();
        services.AddSingleton<AdoptionLedger>();
        services.AddSingleton<StagingLedger>();
        services.AddSingleton<ImportLedger>();
        services.AddSingleton(provider => new LocationHealth(
            provider.GetRequiredService<IDbContextFactory<RegistryDb>>(), provider.GetRequiredService<TimeProvider>(),
            database.Events));
        services.AddSingleton<EventOutbox>();
        services.AddSingleton(provider => new JobQueue(
            provider.GetRequiredService<IDbContextFactory<RegistryDb>>(), provider.GetRequiredService<TimeProvider>(),
            database.Events));
        return services;
    }
}
