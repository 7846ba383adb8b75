using System.Linq.Expressions;
using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Metadata.Configurations;

namespace Registry.Storage.Metadata;

/// <summary>The filters of a list as conditions on a query.</summary>
internal static class ImageFilters
{
    public static IQueryable<Image> Apply(RegistryDb db, IQueryable<Image> images, ImageListRequest request)
    {
        // Said as constants, which is what makes the indexes on the few of them usable.
        images = request.IsHidden ? images.Where(i => i.IsHidden) : images.Where(i => !i.IsHidden);
        images = request.IsProtected switch
        {
            true => images.Where(i => i.IsProtected),
            false => images.Where(i => !i.IsProtected),
            null => images,
        };
        images = ByWords(images, request);
        images = ByNumbers(images, request);
        images = ByTimes(images, request);
        return ByParts(db, images, request);
    }

    // Where a column can be null the condition is on its sort key, in which null is empty: that is where the index is. It is
    // not said of both, which PostgreSQL would take for two conditions of which next to nothing meets both.
    private static IQueryable<Image> ByWords(IQueryable<Image> images, ImageListRequest request)
    {
        images = If(images, request.Owner, owner => i => i.Owner == owner);
        images = If(images, request.Checksum, checksum => i => i.Checksum == checksum);
        images = If(images, request.HashAlgorithm, algorithm => i => i.HashAlgorithm == algorithm);
        images = If(images, request.HashValue, value => i => i.HashValue == value);
        images = If(images, request.Names, names => i =>
            names.Contains(EF.Property<string>(i, ImageConfiguration.NameKey)));
        images = If(images, request.Ids, ids => i => ids.Contains(i.Id));
        images = If(images, request.ContainerFormats, formats => i =>
            formats.Contains(EF.Property<string>(i, ImageConfiguration.ContainerFormatKey)));
        images = If(images, request.DiskFormats, formats => i =>
            formats.Contains(EF.Property<string>(i, ImageConfiguration.DiskFormatKey)));
        images = request.Names?.Contains("") == true ? images.Where(i => i.Name != null) : images;
        images = request.ContainerFormats?.Contains("") == true ? images.Where(i => i.ContainerFormat != null) : images;
        images = request.DiskFormats?.Contains("") == true ? images.Where(i => i.DiskFormat != null) : images;
        return If(images, Statuses(request), statuses => i => statuses.Contains(i.Status));
    }

    private static List<ImageStatus>? Statuses(ImageListRequest request)
    {
        if (request.Statuses is null)
        {
            return null;
        }

        var known = new List<ImageStatus>();
        foreach (var word in request.Statuses)
        {
            if (ImageStatuses.TryParse(word, out var status))
            {
                known.Add(status);
            }
        }

        return known;
    }

    private static IQueryable<Image> ByNumbers(IQueryable<Image> images, ImageListRequest request)
    {
        images = request.Size == default ? images : images.Where(i => i.Size != null);
        images = If(images, request.Size.Exact, size => i => EF.Property<long>(i, ImageConfiguration.SizeKey) == size);
        images = If(images, request.Size.Min, size => i => EF.Property<long>(i, ImageConfiguration.SizeKey) >= size);
        images = If(images, request.Size.Max, size => i => EF.Property<long>(i, ImageConfiguration.SizeKey) <= size);
        images = If(images, request.VirtualSize.Exact, size => i => i.VirtualSize == size);
        images = If(images, request.VirtualSize.Min, size => i => i.VirtualSize >= size);
        images = If(images, request.VirtualSize.Max, size => i => i.VirtualSize <= size);
        images = If(images, request.MinRam.Exact, ram => i => i.MinRam == ram);
        images = If(images, request.MinRam.Min, ram => i => i.MinRam >= ram);
        images = If(images, request.MinRam.Max, ram => i => i.MinRam <= ram);
        images = If(images, request.MinDisk.Exact, disk => i => i.MinDisk == disk);
        images = If(images, request.MinDisk.Min, disk => i => i.MinDisk >= disk);
        return If(images, request.MinDisk.Max, disk => i => i.MinDisk <= disk);
    }

    // No image is older than its last change. Said beside what was asked for, it lets a list that is sorted by the one time
    // begin where the other one can match first, and not walk through all that cannot.
    private static IQueryable<Image> ByTimes(IQueryable<Image> images, ImageListRequest request)
    {
        foreach (var filter in request.CreatedAt)
        {
            var (first, next) = Span(filter.Time);
            images = filter.Comparison switch
            {
                TimeComparison.Equal => images.Where(
                    i => i.CreatedAt >= first && i.CreatedAt < next && i.UpdatedAt >= first),
                TimeComparison.NotEqual => images.Where(i => i.CreatedAt < first || i.CreatedAt >= next),
                TimeComparison.Greater => images.Where(i => i.CreatedAt >= next && i.UpdatedAt >= next),
                TimeComparison.GreaterOrEqual => images.Where(i => i.CreatedAt >= first && i.UpdatedAt >= first),
                TimeComparison.Less => images.Where(i => i.CreatedAt < first),
                _ => images.Where(i => i.CreatedAt < next),
            };
        }

        foreach (var filter in request.UpdatedAt)
        {
            var (first, next) = Span(filter.Time);
            images = filter.Comparison switch
            {
                TimeComparison.Equal => images.Where(
                    i => i.UpdatedAt >= first && i.UpdatedAt < next && i.CreatedAt < next),
                TimeComparison.NotEqual => images.Where(i => i.UpdatedAt < first || i.UpdatedAt >= next),
                TimeComparison.Greater => images.Where(i => i.UpdatedAt >= next),
                TimeComparison.GreaterOrEqual => images.Where(i => i.UpdatedAt >= first),
                TimeComparison.Less => images.Where(i => i.UpdatedAt < first && i.CreatedAt < first),
                _ => images.Where(i => i.UpdatedAt < next && i.CreatedAt < next),
            };
        }

        return images;
    }

    // The stretch of time that a time names: a second where it has no fraction, else a microsecond.
    private static (DateTimeOffset First, DateTimeOffset Next) Span(DateTimeOffset time)
    {
        var first = Timestamps.Stored(time);
        var ticks = first.Ticks % TimeSpan.TicksPerSecond == 0 ? TimeSpan.TicksPerSecond : TimeSpan.TicksPerMicrosecond;
        var isLast = first > DateTimeOffset.MaxValue.AddTicks(-ticks);
        return (first, isLast ? first : first.AddTicks(ticks));
    }

    // IN, not EXISTS: SQLite then starts from the few that match instead of asking every image.
    private static IQueryable<Image> ByParts(RegistryDb db, IQueryable<Image> images, ImageListRequest request)
    {
        foreach (var tag in request.Tags)
        {
            images = images.Where(i => db.Tags.Where(t => t.Value == tag).Select(t => t.ImageId).Contains(i.Id));
        }

        foreach (var (name, value) in request.Properties)
        {
            var having = Having(db, name, value).Select(p => p.ImageId);
            images = images.Where(i => having.Contains(i.Id));
        }

        return images;
    }

    // A value that is shorter than the key is the key, and is not compared too: PostgreSQL would take that for a second
    // condition, expect next to nothing to meet both, and sort all that do.
    private static IQueryable<ImageProperty> Having(RegistryDb db, string name, string value)
    {
        const int most = ImagePropertyConfiguration.ValueKeyLength;
        var isKey = value.Length < most;
        var start = isKey ? value : value[..most];
        var having = db.Properties.Where(
            p => p.Name == name && EF.Property<string>(p, ImagePropertyConfiguration.ValueKey) == start);
        return isKey ? having : having.Where(p => p.Value == value);
    }

    private static IQueryable<Image> If<T>(
        IQueryable<Image> images, T? value, Func<T, Expression<Func<Image, bool>>> condition)
        where T : struct => value is { } given ? images.Where(condition(given)) : images;

    private static IQueryable<Image> If<T>(
        IQueryable<Image> images, T? value, Func<T, Expression<Func<Image, bool>>> condition)
        where T : class => value is null ? images : images.Where(condition(value));
}
