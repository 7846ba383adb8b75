using System.Globalization;
using System.Linq.Expressions;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Metadata.Configurations;

namespace Registry.Storage.Metadata;

/// <summary>A total order of images, and the place in it after a given image.</summary>
internal sealed class ImageOrder
{
    private readonly List<ImageSort> _keys;

    private ImageOrder(List<ImageSort> keys) => _keys = keys;

    /// <summary>Completes the keys asked for with the tie-breakers.</summary>
    public static ImageOrder Of(IReadOnlyList<ImageSort> sort)
    {
        // The same direction throughout is a plain walk along an index; that is what nearly everybody asks for.
        var isDescending = sort.Count == 0 || sort[0].IsDescending
            || sort.Any(s => s.IsDescending != sort[0].IsDescending);
        var keys = new List<ImageSort>();
        foreach (var key in sort
            .Append(new(ImageSortKey.CreatedAt, isDescending))
            .Append(new(ImageSortKey.Id, isDescending)))
        {
            if (!keys.Exists(known => known.Key == key.Key))
            {
                keys.Add(key);
            }

            if (key.Key == ImageSortKey.Id)
            {
                break; // nothing ties after it
            }
        }

        return new ImageOrder(keys);
    }

    /// <summary>Orders a query.</summary>
    public IQueryable<Image> Apply(IQueryable<Image> images)
    {
        IOrderedQueryable<Image>? ordered = null;
        foreach (var (key, isDescending) in _keys)
        {
            ordered = key switch
            {
                ImageSortKey.Name =>
                    By(images, ordered, i => EF.Property<string>(i, ImageConfiguration.NameKey), isDescending),
                ImageSortKey.Status => By(images, ordered, i => i.Status, isDescending),
                ImageSortKey.ContainerFormat =>
                    By(
                        images,
                        ordered,
                        i => EF.Property<string>(i, ImageConfiguration.ContainerFormatKey),
                        isDescending),
                ImageSortKey.DiskFormat =>
                    By(images, ordered, i => EF.Property<string>(i, ImageConfiguration.DiskFormatKey), isDescending),
                ImageSortKey.Size =>
                    By(images, ordered, i => EF.Property<long>(i, ImageConfiguration.SizeKey), isDescending),
                ImageSortKey.Id => By(images, ordered, i => i.Id, isDescending),
                ImageSortKey.UpdatedAt => By(images, ordered, i => i.UpdatedAt, isDescending),
                _ => By(images, ordered, i => i.CreatedAt, isDescending),
            };
        }

        return ordered!;
    }

    /// <summary>The images that come after the marker in this order; all of them when there is no marker.</summary>
    /// <remarks>By hand because a comparison of rows is what an index serves, and LINQ has none for both databases.
    /// Only our own column names go into the text.</remarks>
    public IQueryable<Image> After(RegistryDb db, Image? marker)
    {
        if (marker is null)
        {
            return db.Images;
        }

        var values = _keys.Select(key => Value(db, marker, key.Key)).ToArray();
        var isUniform = _keys.TrueForAll(key => key.IsDescending == _keys[0].IsDescending);
#pragma warning disable EF1003 // column names and placeholders, all ours; the values are parameters
        return db.Images.FromSqlRaw("select * from images where " + (isUniform ? RowAfter() : StepsAfter()), values);
#pragma warning restore EF1003
    }

    // (a, b, c) < ({0}, {1}, {2})
    private string RowAfter()
    {
        var columns = string.Join(", ", _keys.Select(key => Column(key.Key)));
        var values = string.Join(", ", _keys.Select((_, i) => $"{{{i}}}"));
        return $"({columns}) {Comparison(_keys[0])} ({values})";
    }

    // a <= {0} and (a < {0} or (a = {0} and (b > {1} or (b = {1} and c < {2})))): the first bound is for the index.
    private string StepsAfter()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{Column(_keys[0].Key)} {Comparison(_keys[0])}= {{0}} and ");
        for (var i = 0; i < _keys.Count; i++)
        {
            var column = Column(_keys[i].Key);
            text.Append(CultureInfo.InvariantCulture, $"({column} {Comparison(_keys[i])} {{{i}}}");
            text.Append(i == _keys.Count - 1
                ? ""
                : string.Create(CultureInfo.InvariantCulture, $" or ({column} = {{{i}}} and "));
        }

        return text.Append(')', (2 * _keys.Count) - 1).ToString();
    }

    private static string Comparison(ImageSort key) => key.IsDescending ? "<" : ">";

    private static string Column(ImageSortKey key) => key switch
    {
        ImageSortKey.Name => "name_key",
        ImageSortKey.Status => "status",
        ImageSortKey.ContainerFormat => "container_format_key",
        ImageSortKey.DiskFormat => "disk_format_key",
        ImageSortKey.Size => "size_key",
        ImageSortKey.Id => "id",
        ImageSortKey.CreatedAt => "created_at",
        ImageSortKey.UpdatedAt => "updated_at",
        _ => throw new ArgumentOutOfRangeException(nameof(key), key, "No such sort key."),
    };

    private static object Value(RegistryDb db, Image image, ImageSortKey key) => key switch
    {
        ImageSortKey.Name => image.Name ?? "",
        ImageSortKey.Status => ImageStatuses.Name(image.Status),
        ImageSortKey.ContainerFormat => image.ContainerFormat ?? "",
        ImageSortKey.DiskFormat => image.DiskFormat ?? "",
        ImageSortKey.Size => image.Size ?? 0,
        ImageSortKey.Id => image.Id,
        ImageSortKey.UpdatedAt => DatabaseDialect.Parameter(db, image.UpdatedAt),
        _ => DatabaseDialect.Parameter(db, image.CreatedAt),
    };

    private static IOrderedQueryable<Image> By<T>(
        IQueryable<Image> images, IOrderedQueryable<Image>? ordered, Expression<Func<Image, T>> key, bool isDescending)
    {
        if (ordered is null)
        {
            return isDescending ? images.OrderByDescending(key) : images.OrderBy(key);
        }

        return isDescending ? ordered.ThenByDescending(key) : ordered.ThenBy(key);
    }
}
