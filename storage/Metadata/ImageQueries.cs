using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Finds and lists images, for a viewer. What the viewer may not see does not exist.</summary>
public static partial class ImageQueries
{
    /// <summary>Finds one image, with its tags, properties and locations.</summary>
    /// <param name="db">The database.</param>
    /// <param name="id">Id, case-sensitive.</param>
    /// <param name="viewer">Who asks.</param>
    /// <param name="tracking">True to change it and save.</param>
    /// <param name="cancellationToken">Cancels the query.</param>
    /// <returns>Null when there is none, it is deleted, or the viewer may not see it.</returns>
    public static Task<Image?> FindAsync(
        RegistryDb db, string id, Viewer viewer, bool tracking, CancellationToken cancellationToken) =>
        FindAsync(db, id, viewer, tracking, withMembers: false, cancellationToken);

    /// <inheritdoc cref="FindAsync(RegistryDb, string, Viewer, bool, CancellationToken)"/>
    /// <param name="withMembers">Load the members too.</param>
#pragma warning disable CS1573 // the others are inherited
    public static async Task<Image?> FindAsync(
        RegistryDb db, string id, Viewer viewer, bool tracking, bool withMembers, CancellationToken cancellationToken)
    {
        if (!tracking && !withMembers)
        {
            return await WholeImage.FindAsync(db, id, viewer, cancellationToken).ConfigureAwait(false);
        }

        var query = WhereShownTo(db, db.Images.Where(i => i.Id == id).Where(IsAlive), viewer);
        query = query.Include(i => i.Tags).Include(i => i.Properties).Include(i => i.Locations);
        if (withMembers)
        {
            query = query.Include(i => i.Members);
        }

        query = tracking ? query.AsTracking() : query.AsNoTracking();
        return await query.AsSplitQuery().SingleOrDefaultAsync(cancellationToken).ConfigureAwait(false);
    }
#pragma warning restore CS1573

    /// <summary>Lists a page of images, with their tags, properties and locations; untracked.</summary>
    /// <param name="db">The database.</param>
    /// <param name="request">Which, in which order, from where on.</param>
    /// <param name="viewer">Who asks.</param>
    /// <param name="cancellationToken">Cancels the query.</param>
    /// <returns>At most <see cref="ImageListRequest.Limit"/> images; fewer only when there are no more.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.BadRequest"/>: the marker does not exist.
    /// -or- <see cref="ErrorCode.Forbidden"/>: the viewer may not see the marker.</exception>
    public static async Task<IReadOnlyList<Image>> ListAsync(
        RegistryDb db, ImageListRequest request, Viewer viewer, CancellationToken cancellationToken)
    {
        var images = await PageAsync(db, request, viewer, cancellationToken).ConfigureAwait(false);
        await WholeImage.TryCompleteAsync(db, images, long.MaxValue, cancellationToken).ConfigureAwait(false);
        return images;
    }

    /// <summary>Lists a page of images without tags, properties and locations; untracked.</summary>
    /// <inheritdoc cref="ListAsync"/>
    public static async Task<List<Image>> PageAsync(
        RegistryDb db, ImageListRequest request, Viewer viewer, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentOutOfRangeException.ThrowIfNegative(request.Limit);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(request.Limit, ImageListRequest.LimitMax);

        RequireFewConditions(request);
        var order = ImageOrder.Of(request.Sort);
        var marker = request.Marker is null
            ? null
            : await FindMarkerAsync(db, request.Marker, viewer, cancellationToken).ConfigureAwait(false);
        if (request.Limit == 0)
        {
            return [];
        }

        var page = Pages(db, request, viewer, order, marker)
            .Aggregate((left, right) => left.Concat(right));
        return await order.Apply(page).Take(request.Limit).AsNoTracking()
            .ToListAsync(cancellationToken).ConfigureAwait(false);
    }

    private static void RequireFewConditions(ImageListRequest request)
    {
        var conditions =
            request.Tags.Count + request.Properties.Count + request.CreatedAt.Count + request.UpdatedAt.Count;
        if (conditions > ImageListRequest.ConditionsMax)
        {
            throw new RegistryException(
                ErrorCode.BadRequest,
                $"A list takes at most {ImageListRequest.ConditionsMax} filters on tags, properties and times.");
        }
    }

    // Each way of seeing an image is a page of its own, walked along its own index; the ways exclude one another, so
    // the union needs no search for doubles. One condition with OR would make the database walk past everybody's
    // images.
    private static IEnumerable<IQueryable<Image>> Pages(
        RegistryDb db, ImageListRequest request, Viewer viewer, ImageOrder order, Image? marker)
    {
        foreach (var way in WaysToSee(db, order.After(db, marker), request, viewer))
        {
            var listed = way.Where(IsAlive).Where(i => i.Status != ImageStatus.Killed);
            yield return order.Apply(ImageFilters.Apply(db, listed, request)).Take(request.Limit);
        }
    }

    // A tombstone serves as a marker too: a page must not break because its last image was deleted meanwhile.
    private static async Task<Image> FindMarkerAsync(
        RegistryDb db, string id, Viewer viewer, CancellationToken cancellationToken)
    {
        var marker = await db.Images.AsNoTracking().SingleOrDefaultAsync(i => i.Id == id, cancellationToken)
            .ConfigureAwait(false)
            ?? throw new RegistryException(ErrorCode.BadRequest, "Invalid marker. Image could not be found.");
        var isVisible = await WhereShownTo(db, db.Images.Where(i => i.Id == id), viewer)
            .AnyAsync(cancellationToken).ConfigureAwait(false);
        if (isVisible)
        {
            return marker;
        }

        throw marker.Status == ImageStatus.Deleted
            ? new RegistryException(ErrorCode.BadRequest, "Invalid marker. Image could not be found.")
            : new RegistryException(ErrorCode.Forbidden, "You are not permitted to see the marker.");
    }
}
