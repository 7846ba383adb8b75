using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.ChangeTracking;
using Microsoft.EntityFrameworkCore.Metadata;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;
using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;

namespace Registry.Storage.Metadata;

/// <summary>What the registry remembers. One model on two databases.</summary>
/// <remarks>A save that starts from an outdated <see cref="Image.Revision"/> throws
/// <see cref="DbUpdateConcurrencyException"/>; <see cref="ImageEditor"/> is the way to change an image that never does.
/// </remarks>
public sealed class RegistryDb(DbContextOptions<RegistryDb> options) : DbContext(options)
{
    private const string ByteOrder = "C";

    /// <summary>Images, deleted ones too.</summary>
    public DbSet<Image> Images => Set<Image>();

    /// <summary>Ids of images that were deleted and purged.</summary>
    public DbSet<ImageTombstone> Tombstones => Set<ImageTombstone>();

    /// <summary>Tags of images.</summary>
    public DbSet<ImageTag> Tags => Set<ImageTag>();

    /// <summary>Additional attributes of images.</summary>
    public DbSet<ImageProperty> Properties => Set<ImageProperty>();

    /// <summary>Projects that images are shared with.</summary>
    public DbSet<ImageMember> Members => Set<ImageMember>();

    /// <summary>Stored blobs.</summary>
    public DbSet<ImageLocation> Locations => Set<ImageLocation>();

    /// <summary>Uploads under way.</summary>
    public DbSet<UploadIntent> UploadIntents => Set<UploadIntent>();

    /// <summary>Bytes that wait to be imported.</summary>
    public DbSet<StagedBlob> StagedBlobs => Set<StagedBlob>();

    /// <summary>Work that outlives requests.</summary>
    public DbSet<Job> Jobs => Set<Job>();

    /// <summary>What happened and has not been told yet.</summary>
    public DbSet<OutboxEvent> Events => Set<OutboxEvent>();

    /// <summary>Namespaces of metadata definitions.</summary>
    public DbSet<MetadefNamespace> MetadefNamespaces => Set<MetadefNamespace>();

    /// <summary>Types of resources that metadata definitions are for.</summary>
    public DbSet<MetadefResourceType> MetadefResourceTypes => Set<MetadefResourceType>();

    /// <inheritdoc/>
    public override int SaveChanges(bool acceptAllChangesOnSuccess) =>
        throw new NotSupportedException("Storage is asynchronous only.");

    /// <inheritdoc/>
    public override async Task<int> SaveChangesAsync(
        bool acceptAllChangesOnSuccess, CancellationToken cancellationToken = default)
    {
        ChangeTracker.DetectChanges();
        foreach (var entry in ChangeTracker.Entries<Image>())
        {
            AdvanceRevision(entry);
        }

        var gate = Database.CurrentTransaction is null ? SqliteSession.Of(this) : null;
        using var turn = gate is null ? default : await gate.EnterAsync(cancellationToken).ConfigureAwait(false);
        return await base.SaveChangesAsync(acceptAllChangesOnSuccess, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.ApplyConfigurationsFromAssembly(typeof(RegistryDb).Assembly);
        foreach (var column in modelBuilder.Model.GetEntityTypes().SelectMany(table => table.GetProperties()))
        {
            RequireNotNegative(column);
        }
    }

    /// <inheritdoc/>
    protected override void ConfigureConventions(ModelConfigurationBuilder configurationBuilder)
    {
        if (Database.IsSqlite())
        {
            // SQLite has no time type that orders; ticks do.
            configurationBuilder.Properties<DateTimeOffset>().HaveConversion<UtcTicks>();
        }
        else
        {
            // Byte order, as SQLite and our own code compare; also what keeps pages stable across locales.
            configurationBuilder.Properties<string>().UseCollation(ByteOrder);
            configurationBuilder.Properties<ImageStatus>().UseCollation(ByteOrder);
            configurationBuilder.Properties<ImageVisibility>().UseCollation(ByteOrder);
            configurationBuilder.Properties<MemberStatus>().UseCollation(ByteOrder);
            configurationBuilder.Properties<JobStatus>().UseCollation(ByteOrder);
        }
    }

    // Every number is a count, a size or a number of something: a negative one is a fault, and a negative reservation would
    // be credit.
    private static void RequireNotNegative(IMutableProperty column)
    {
        var type = Nullable.GetUnderlyingType(column.ClrType) ?? column.ClrType;
        if ((type == typeof(int) || type == typeof(long)) && column.GetComputedColumnSql() is null)
        {
            var table = (IMutableEntityType)column.DeclaringType;
            var name = column.GetColumnName();
            table.AddCheckConstraint($"ck_{table.GetTableName()}_{name}", $"{name} >= 0");
        }
    }

    private static void AdvanceRevision(EntityEntry<Image> entry)
    {
        if (entry.State == EntityState.Modified)
        {
            var revision = entry.Property(i => i.Revision);
            revision.CurrentValue = revision.OriginalValue + 1;
        }
    }

    private sealed class UtcTicks() : ValueConverter<DateTimeOffset, long>(
        time => time.UtcTicks, ticks => new DateTimeOffset(ticks, TimeSpan.Zero));
}
