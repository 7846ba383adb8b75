using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Storage.Tests.Metadata;

/// <summary>What a list should return, computed the plain way over all images in memory.</summary>
internal static class ListModel
{
    public static List<string> Ids(IEnumerable<Image> all, ImageListRequest request, Viewer viewer)
    {
        var listed = all.Where(image =>
            image.Status is not (ImageStatus.Deleted or ImageStatus.PendingDelete or ImageStatus.Killed)
            && IsVisible(image, request, viewer)
            && IsMatch(image, request)).ToList();
        listed.Sort((left, right) => Compare(left, right, request.Sort));
        return [.. listed.Select(image => image.Id)];
    }

    private static bool IsVisible(Image image, ImageListRequest request, Viewer viewer)
    {
        var isOwn = image.Owner is not null && image.Owner == viewer.ProjectId;
        var isSharedWithMe = image.Visibility == ImageVisibility.Shared && image.Members.Any(member =>
            member.MemberId == viewer.ProjectId
            && (request.MemberStatus is null || member.Status == request.MemberStatus));
        var isShown = viewer.IsAdmin || isOwn || isSharedWithMe
            || image.Visibility is ImageVisibility.Public or ImageVisibility.Community;
        if (request.Visibility is { } only)
        {
            return isShown && image.Visibility == only;
        }

        return isShown && (request.AllVisibilities || isOwn || image.Visibility != ImageVisibility.Community);
    }

    private static bool IsMatch(Image image, ImageListRequest request) =>
        image.IsHidden == request.IsHidden
        && (request.IsProtected is null || image.IsProtected == request.IsProtected)
        && (request.Owner is null || image.Owner == request.Owner)
        && (request.Checksum is null || image.Checksum == request.Checksum)
        && (request.HashAlgorithm is null || image.HashAlgorithm == request.HashAlgorithm)
        && (request.HashValue is null || image.HashValue == request.HashValue)
        && (request.Names is null || request.Names.Contains(image.Name))
        && (request.Ids is null || request.Ids.Contains(image.Id))
        && (request.Statuses is null || request.Statuses.Contains(ImageStatuses.Name(image.Status)))
        && (request.DiskFormats is null || request.DiskFormats.Contains(image.DiskFormat))
        && (request.ContainerFormats is null || request.ContainerFormats.Contains(image.ContainerFormat))
        && IsWithin(image.Size, request.Size)
        && IsWithin(image.VirtualSize, request.VirtualSize)
        && IsWithin(image.MinRam, request.MinRam)
        && IsWithin(image.MinDisk, request.MinDisk)
        && request.CreatedAt.All(filter => IsMatch(image.CreatedAt, filter))
        && request.UpdatedAt.All(filter => IsMatch(image.UpdatedAt, filter))
        && request.Tags.All(tag => image.Tags.Any(t => t.Value == tag))
        && request.Properties.All(pair => image.FindProperty(pair.Key) == pair.Value);

    private static bool IsWithin(long? value, NumberFilter filter) =>
        (filter.Exact is null || value == filter.Exact)
        && (filter.Min is null || value >= filter.Min)
        && (filter.Max is null || value <= filter.Max);

    private static bool IsMatch(DateTimeOffset time, TimeFilter filter)
    {
        var isWholeSecond = filter.Time.Ticks % TimeSpan.TicksPerSecond == 0;
        var order = (isWholeSecond ? time.AddTicks(-(time.Ticks % TimeSpan.TicksPerSecond)) : time)
            .CompareTo(filter.Time);
        return filter.Comparison switch
        {
            TimeComparison.Equal => order == 0,
            TimeComparison.NotEqual => order != 0,
            TimeComparison.Greater => order > 0,
            TimeComparison.GreaterOrEqual => order >= 0,
            TimeComparison.Less => order < 0,
            _ => order <= 0,
        };
    }

    private static int Compare(Image left, Image right, IReadOnlyList<ImageSort> sort)
    {
        foreach (var (key, isDescending) in sort)
        {
            if (Compare(left, right, key) is var order and not 0)
            {
                return isDescending ? -order : order;
            }
        }

        var tieIsDescending = sort.Count == 0 || sort.Select(s => s.IsDescending).Distinct().Count() > 1
            || sort[0].IsDescending;
        var tie = Compare(left, right, ImageSortKey.CreatedAt) is var byTime and not 0
            ? byTime
            : Compare(left, right, ImageSortKey.Id);
        return tieIsDescending ? -tie : tie;
    }

    private static int Compare(Image left, Image right, ImageSortKey key) => key switch
    {
        ImageSortKey.Name => string.CompareOrdinal(left.Name ?? "", right.Name ?? ""),
        ImageSortKey.Status => string.CompareOrdinal(ImageStatuses.Name(left.Status), ImageStatuses.Name(right.Status)),
        ImageSortKey.ContainerFormat => string.CompareOrdinal(left.ContainerFormat ?? "", right.ContainerFormat ?? ""),
        ImageSortKey.DiskFormat => string.CompareOrdinal(left.DiskFormat ?? "", right.DiskFormat ?? ""),
        ImageSortKey.Size => (left.Size ?? 0).CompareTo(right.Size ?? 0),
        ImageSortKey.Id => string.CompareOrdinal(left.Id, right.Id),
        ImageSortKey.UpdatedAt => left.UpdatedAt.CompareTo(right.UpdatedAt),
        _ => left.CreatedAt.CompareTo(right.CreatedAt),
    };
}
