using System.Linq.Expressions;
using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <content>Who sees what: spec/glance-v2.md sections 3.3 and 6.</content>
public static partial class ImageQueries
{
    /// <summary>Whether an image is there: neither deleted nor about to be.</summary>
    internal static readonly Expression<Func<Image, bool>> IsAlive =
        image => image.Status != ImageStatus.Deleted && image.Status != ImageStatus.PendingDelete;

    private static IQueryable<Image> WhereShownTo(RegistryDb db, IQueryable<Image> images, Viewer viewer)
    {
        var (isAdmin, project) = (viewer.IsAdmin, viewer.ProjectId);
        return images.Where(ShownImages.Inline<Func<Image, bool>>(i => ShownImages.Has(db, i, isAdmin, project)));
    }

    private static IEnumerable<IQueryable<Image>> WaysToSee(
        RegistryDb db, IQueryable<Image> images, ImageListRequest request, Viewer viewer)
    {
        var only = request.Visibility;
        var project = viewer.ProjectId;
        if (only is { } visibility && (viewer.IsAdmin || project is null || visibility is ImageVisibility.Public))
        {
            var isOthersBusiness = visibility is ImageVisibility.Shared or ImageVisibility.Private;
            images = images.Where(i => i.Visibility == visibility);
            yield return isOthersBusiness && !viewer.IsAdmin ? images.Where(_ => false) : images;
            yield break;
        }

        if (viewer.IsAdmin)
        {
            yield return request.AllVisibilities
                ? images
                : images.Where(
                    i => i.Visibility != ImageVisibility.Community || (project != null && i.Owner == project));
            yield break;
        }

        if (project is not null)
        {
            var own = images.Where(i => i.Owner == project);
            yield return only is null ? own : own.Where(i => i.Visibility == only);
        }

        var others = project is null ? images : images.Where(i => i.Owner != project);
        if (only is null)
        {
            yield return others.Where(i => i.Visibility == ImageVisibility.Public);
        }

        if (only is ImageVisibility.Community || (only is null && request.AllVisibilities))
        {
            yield return others.Where(i => i.Visibility == ImageVisibility.Community);
        }

        if (project is not null && only is null or ImageVisibility.Shared)
        {
            var members = db.Members.Where(m => m.MemberId == project);
            if (request.MemberStatus is { } answer)
            {
                members = members.Where(m => m.Status == answer);
            }

            yield return others.Where(i =>
                i.Visibility == ImageVisibility.Shared && members.Select(m => m.ImageId).Contains(i.Id));
        }
    }
}
