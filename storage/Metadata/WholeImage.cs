using System.Runtime.CompilerServices;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>An image with its tags, properties and locations, untracked. The statements are compiled once: to compose and
/// to compare them takes longer than to run them.</summary>
/// <remarks>What hangs on one image comes as rows beside it, so that each row repeats the image: cheaper than a statement
/// for each kind, up to the few hundred tags and properties that an image may have. For many images it is two statements
/// more, whatever their number. Locations come oldest first, as clients are told of stores.</remarks>
internal sealed class WholeImage
{
    // A compiled statement serves one model, and each database has its own.
    private static readonly ConditionalWeakTable<IModel, WholeImage> Readers = new();

    private readonly Func<RegistryDb, string, bool, string?, IAsyncEnumerable<Row>> _rows =
        EF.CompileAsyncQuery(ShownImages.Inline<Func<RegistryDb, string, bool, string?, IQueryable<Row>>>(
            (db, id, isAdmin, project) =>
                from image in db.Images.AsNoTracking().Where(ImageQueries.IsAlive)
                where image.Id == id && ShownImages.Has(db, image, isAdmin, project)
                from location in db.Locations.Where(l => l.ImageId == id).DefaultIfEmpty()
                from part in db.Tags.Where(t => t.ImageId == id)
                    .Select(t => new { Kind = PartKind.Tag, Name = t.Value, Value = "" })
                    .Concat(db.Properties.Where(p => p.ImageId == id)
                        .Select(p => new { Kind = PartKind.Property, p.Name, p.Value }))
                    .DefaultIfEmpty()
                orderby location.CreatedAt, location.StoreId
                select new Row(image, location, (PartKind?)part.Kind, part.Name, part.Value)));

    private readonly Func<RegistryDb, string[], IAsyncEnumerable<Part>> _partsOfMany =
        EF.CompileAsyncQuery((RegistryDb db, string[] ids) =>
            db.Tags.Where(t => ids.Contains(t.ImageId))
                .Select(t => new { t.ImageId, Kind = PartKind.Tag, Name = t.Value, Value = "" })
                .Concat(db.Properties.Where(p => ids.Contains(p.ImageId))
                    .Select(p => new { p.ImageId, Kind = PartKind.Property, p.Name, p.Value }))
                .Select(part => new Part(part.ImageId, part.Kind, part.Name, part.Value)));

    private readonly Func<RegistryDb, string[], IAsyncEnumerable<ImageLocation>> _locationsOfMany =
        EF.CompileAsyncQuery<RegistryDb, string[], ImageLocation>((db, ids) =>
            db.Locations.AsNoTracking().Where(l => ids.Contains(l.ImageId))
                .OrderBy(l => l.CreatedAt).ThenBy(l => l.StoreId));

    private enum PartKind
    {
        Tag,
        Property,
    }

    /// <summary>Reads the image.</summary>
    /// <param name="db">The database.</param>
    /// <param name="id">Its id.</param>
    /// <param name="viewer">Who asks.</param>
    /// <param name="cancellationToken">Cancels the query.</param>
    /// <returns>Null when there is none, it is deleted, or the viewer may not see it.</returns>
    public static async Task<Image?> FindAsync(
        RegistryDb db, string id, Viewer viewer, CancellationToken cancellationToken)
    {
        Image? whole = null;
        var rows = Of(db)._rows(db, id, viewer.IsAdmin, viewer.ProjectId);
        await foreach (var row in rows.WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            whole ??= row.Image;
            if (row.Location is { } location && !whole.Locations.Any(l => l.StoreId == location.StoreId))
            {
                whole.Attach(location);
            }

            if (row.Kind is { } kind)
            {
                Attach(whole, kind, row.Name!, row.Value!);
            }
        }

        return whole;
    }

    /// <summary>Reads what hangs on images that came without.</summary>
    /// <param name="db">The database.</param>
    /// <param name="images">The images, untracked.</param>
    /// <param name="charsMax">Characters of names and values that may be read.</param>
    /// <param name="cancellationToken">Cancels the queries.</param>
    /// <returns>Characters read; null when there are more than that, and the images are as they were.</returns>
    public static async Task<long?> TryCompleteAsync(
        RegistryDb db, IReadOnlyCollection<Image> images, long charsMax, CancellationToken cancellationToken)
    {
        if (images.Count == 0)
        {
            return 0;
        }

        var byId = images.ToDictionary(image => image.Id, StringComparer.Ordinal);
        var ids = byId.Keys.ToArray();
        var reader = Of(db);
        var parts = new List<Part>();
        var chars = 0L;
        await foreach (var part in reader._partsOfMany(db, ids).WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            if ((chars += part.Name.Length + part.Value.Length) > charsMax)
            {
                return null;
            }

            parts.Add(part);
        }

        foreach (var part in parts)
        {
            Attach(byId[part.ImageId], part.Kind, part.Name, part.Value);
        }

        await foreach (var location in reader._locationsOfMany(db, ids)
            .WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            byId[location.ImageId].Attach(location);
        }

        return chars;
    }

    private static WholeImage Of(RegistryDb db) => Readers.GetValue(db.Model, static _ => new WholeImage());

    private static void Attach(Image image, PartKind kind, string name, string value)
    {
        if (kind == PartKind.Tag)
        {
            image.AddTag(name);
        }
        else
        {
            image.SetProperty(name, value);
        }
    }

    private sealed record Row(Image Image, ImageLocation? Location, PartKind? Kind, string? Name, string? Value);

    private sealed record Part(string ImageId, PartKind Kind, string Name, string Value);
}
