using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;
using Microsoft.Extensions.DependencyInjection;
using Registry.Storage;
using Registry.Storage.Metadata;

namespace Registry.Faults;

/// <summary>Older schemas of a site's database.</summary>
internal static class Schema
{
    /// <summary>Creates the schema as it was after some migrations, with one image in it.</summary>
    /// <param name="site">A site with an empty database.</param>
    /// <param name="missing">How many of the migrations are missing; at least one is applied.</param>
    public static async Task CreateOlderAsync(Site site, int missing)
    {
        var services = new ServiceCollection().AddRegistryStorage(
            new DatabaseOptions
            {
                Kind = site is ProductionSite ? DatabaseKind.Postgres : DatabaseKind.Sqlite,
                ConnectionString = site.ConnectionString,
            },
            bytesPerProject: null);
        await using (var provider = services.BuildServiceProvider())
        {
            await using var db = await provider.GetRequiredService<IDbContextFactory<RegistryDb>>().CreateDbContextAsync();
            var migrations = db.Database.GetMigrations().ToList();
            await db.GetService<IMigrator>().MigrateAsync(migrations[Math.Max(0, migrations.Count - 1 - missing)]);
        }

        var now = site is ProductionSite ? "now()" : $"{DateTimeOffset.UtcNow.UtcTicks}";
        await site.ExecuteAsync($"""
            insert into images (id, owner, status, visibility, generation, revision, min_disk, min_ram, is_protected, is_hidden,
                created_at, updated_at)
            values ('{Guid.NewGuid()}', 'p', 'queued', 'shared', 0, 0, 0, 0, false, false, {now}, {now})
            """);
    }
}
