using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;

namespace Registry.Storage.Metadata;

/// <summary>Finds and lists namespaces of metadata definitions. Who sees what: everybody what is public or nobody's, a
/// project its own, administrators everything (spec/glance-v2.md, 11).</summary>
public static class MetadefQueries
{
    /// <summary>A namespace that the viewer sees, with everything in it; null when there is none.</summary>
    public static Task<MetadefNamespace?> FindAsync(
        RegistryDb db, string name, Viewer viewer, bool tracking, CancellationToken cancellationToken)
    {
        var query = WhereShownTo(db.MetadefNamespaces, viewer).Where(n => n.Name == name);
        return Whole(tracking ? query.AsTracking() : query.AsNoTracking()).SingleOrDefaultAsync(cancellationToken);
    }

    /// <summary>Lists a page of namespaces, with their types of resources; untracked.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is no marker that the viewer
    /// sees.</exception>
    public static async Task<IReadOnlyList<MetadefNamespace>> ListAsync(
        RegistryDb db, MetadefListRequest request, Viewer viewer, CancellationToken cancellationToken)
    {
        var query = WhereShownTo(db.MetadefNamespaces.AsNoTracking(), viewer);
        MetadefNamespace? marker = null;
        if (request.Marker is { } name)
        {
            marker = await query.SingleOrDefaultAsync(n => n.Name == name, cancellationToken).ConfigureAwait(false)
                ?? throw NotFound(name);
        }

        if (request.IsPublic is { } isPublic)
        {
            query = query.Where(n => n.IsPublic == isPublic);
        }

        if (request.ResourceTypes is { } types)
        {
            query = query.Where(n => n.Associations.Any(a => types.Contains(a.Name)));
        }

        query = marker is null ? query : After(query, marker, request);
        return await Ordered(query, request).Take(request.Limit).Include(n => n.Associations).AsSplitQuery()
            .ToListAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Lists the types of resources that were ever named, by name.</summary>
    public static async Task<IReadOnlyList<MetadefResourceType>> ListResourceTypesAsync(
        RegistryDb db, CancellationToken cancellationToken) =>
        await db.MetadefResourceTypes.AsNoTracking().OrderBy(t => t.Name).ToListAsync(cancellationToken)
            .ConfigureAwait(false);

    /// <summary>The refusal where there is no namespace that the caller may know of.</summary>
    public static RegistryException NotFound(string name) =>
        new(ErrorCode.NotFound, $"Metadata definition namespace {name} was not found.");

    /// <summary>A namespace by its id, tracked; null when there is none.</summary>
    internal static Task<MetadefNamespace?> FindAsync(RegistryDb db, Guid id, CancellationToken cancellationToken) =>
        Whole(db.MetadefNamespaces.AsTracking().Where(n => n.Id == id)).SingleOrDefaultAsync(cancellationToken);

    private static IQueryable<MetadefNamespace> Whole(IQueryable<MetadefNamespace> query) => query
        .Include(n => n.Properties).Include(n => n.Objects).Include(n => n.Tags).Include(n => n.Associations)
        .AsSplitQuery();

    private static IQueryable<MetadefNamespace> WhereShownTo(IQueryable<MetadefNamespace> query, Viewer viewer)
    {
        var project = viewer.ProjectId;
        return viewer.IsAdmin ? query
            : project is null ? query.Where(n => n.IsPublic || n.Owner == null)
            : query.Where(n => n.IsPublic || n.Owner == null || n.Owner == project);
    }

    private static IQueryable<MetadefNamespace> Ordered(IQueryable<MetadefNamespace> query, MetadefListRequest request) =>
        (request.SortKey, request.IsDescending) switch
        {
            (MetadefSortKey.Name, false) => query.OrderBy(n => n.Name),
            (MetadefSortKey.Name, true) => query.OrderByDescending(n => n.Name),
            (MetadefSortKey.CreatedAt, false) => query.OrderBy(n => n.CreatedAt).ThenBy(n => n.Name),
            (MetadefSortKey.CreatedAt, true) =>
                query.OrderByDescending(n => n.CreatedAt).ThenByDescending(n => n.Name),
            (_, false) => query.OrderBy(n => n.UpdatedAt).ThenBy(n => n.Name),
            (_, true) => query.OrderByDescending(n => n.UpdatedAt).ThenByDescending(n => n.Name),
        };

#pragma warning disable CA1309, CA1310 // becomes SQL, where names compare by bytes
    private static IQueryable<MetadefNamespace> After(
        IQueryable<MetadefNamespace> query, MetadefNamespace marker, MetadefListRequest request)
    {
        var (name, created, updated) = (marker.Name, marker.CreatedAt, marker.UpdatedAt);
        return (request.SortKey, request.IsDescending) switch
        {
            (MetadefSortKey.Name, false) => query.Where(n => string.Compare(n.Name, name) > 0),
            (MetadefSortKey.Name, true) => query.Where(n => string.Compare(n.Name, name) < 0),
            (MetadefSortKey.CreatedAt, false) => query.Where(n =>
                n.CreatedAt > created || (n.CreatedAt == created && string.Compare(n.Name, name) > 0)),
            (MetadefSortKey.CreatedAt, true) => query.Where(n =>
                n.CreatedAt < created || (n.CreatedAt == created && string.Compare(n.Name, name) < 0)),
            (_, false) => query.Where(n =>
                n.UpdatedAt > updated || (n.UpdatedAt == updated && string.Compare(n.Name, name) > 0)),
            (_, true) => query.Where(n =>
                n.UpdatedAt < updated || (n.UpdatedAt == updated && string.Compare(n.Name, name) < 0)),
        };
    }
#pragma warning restore CA1309, CA1310
}
