using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Api.Policy;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Members;

/// <summary>With whom an image is shared (spec/glance-v2.md, 3.3).</summary>
public sealed class MemberCommands(
    IDbContextFactory<RegistryDb> databases, ImageEditor editor, PolicyEngine policy, TimeProvider clock,
    IOptions<RegistryOptions> options)
{
    private const int MemberIdLengthMax = 255;

    /// <summary>Lists the members: all of them for who may change the image, else the caller's own
    /// membership.</summary>
    /// <exception cref="RegistryException">NotFound; Forbidden for an image that is not shared.</exception>
    public async Task<IReadOnlyList<ImageMember>> ListAsync(
        Caller caller, string imageId, CancellationToken cancellationToken)
    {
        var image = await LoadAsync(caller, imageId, cancellationToken);
        var self = image.Members.FirstOrDefault(m => m.MemberId == caller.ProjectId)?.MemberId;
        policy.Require(caller, "get_members", image, self);
        RequireShared(image);
        return
        [
            .. image.Members.Where(m => IsKnown(caller, image, m.MemberId)
                    && policy.Allows(caller, "get_member", PolicyTarget.OfImage(image, m.MemberId)))
                .OrderBy(m => m.CreatedAt).ThenBy(m => m.MemberId, StringComparer.Ordinal),
        ];
    }

    /// <summary>Shows one member.</summary>
    /// <exception cref="RegistryException">NotFound, also for an image that is not shared.</exception>
    public async Task<ImageMember> GetAsync(
        Caller caller, string imageId, string memberId, CancellationToken cancellationToken)
    {
        var image = await LoadAsync(caller, imageId, cancellationToken);
        if (!IsKnown(caller, image, memberId) || image.Visibility != ImageVisibility.Shared)
        {
            throw NotFound(imageId, memberId);
        }

        return policy.Allows(caller, "get_member", PolicyTarget.OfImage(image, memberId))
            && policy.Allows(caller, "get_image", PolicyTarget.OfImage(image, memberId))
                ? Find(image, memberId)
                : throw NotFound(imageId, memberId);
    }

    /// <summary>Shares an image with a project; it is pending until that project answers.</summary>
    /// <exception cref="RegistryException">NotFound, Forbidden, Conflict for a member already, TooLarge.</exception>
    public async Task<ImageMember> AddAsync(
        Caller caller, string imageId, string memberId, CancellationToken cancellationToken)
    {
        if (memberId.Length is 0 or > MemberIdLengthMax)
        {
            throw ImageRules.Bad($"A member id must have 1 to {MemberIdLengthMax} characters.");
        }

        ImageRules.RequireBasicPlane("member", memberId);
        var image = await editor.ChangeAsync(
            imageId, caller.Viewer,
            i =>
            {
                policy.Require(caller, "add_member", i, memberId);
                RequireShared(i);
                i.AddMember(memberId, clock.GetUtcNow());
                ImageRules.RequireCount("members", i.Members.Count, options.Value.Limits.Members);
            },
            cancellationToken);
        return Find(image, memberId);
    }

    /// <summary>Records a member's answer. Only the member itself, or an administrator, may.</summary>
    /// <exception cref="RegistryException">NotFound, Forbidden, BadRequest for an unknown status.</exception>
    public async Task<ImageMember> AnswerAsync(
        Caller caller, string imageId, string memberId, string status, CancellationToken cancellationToken)
    {
        if (!MemberStatuses.TryParse(status, out var answer))
        {
            throw ImageRules.Bad(
                $"'{ImageRules.Shown(status)}' is not one of ['pending', 'accepted', 'rejected'] for status.");
        }

        var image = await editor.ChangeAsync(
            imageId, caller.Viewer,
            i =>
            {
                if (i.Visibility == ImageVisibility.Shared && !IsKnown(caller, i, memberId))
                {
                    throw NotFound(imageId, memberId);
                }

                policy.Require(caller, "modify_member", i, memberId);
                policy.Require(caller, "get_member", i, memberId);
                RequireShared(i);
                Find(i, memberId).Answer(answer, clock.GetUtcNow());
            },
            cancellationToken);
        return Find(image, memberId);
    }

    /// <summary>Ends sharing with a project.</summary>
    /// <exception cref="RegistryException">NotFound, Forbidden.</exception>
    public Task RemoveAsync(Caller caller, string imageId, string memberId, CancellationToken cancellationToken) =>
        editor.ChangeAsync(
            imageId, caller.Viewer,
            image =>
            {
                policy.Require(caller, "delete_member", image, memberId);
                policy.Require(caller, "get_member", image, memberId);
                RequireShared(image);
                if (!image.RemoveMember(memberId))
                {
                    throw NotFound(imageId, memberId);
                }
            },
            cancellationToken);

    private async Task<Image> LoadAsync(Caller caller, string imageId, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await ImageQueries.FindAsync(
            db, imageId, caller.Viewer, tracking: false, withMembers: true, cancellationToken)
            ?? throw ImageCommands.NotFound(imageId);
    }

    // A member is told of no other.
    private static bool IsKnown(Caller caller, Image image, string memberId) =>
        caller.Viewer.MayChange(image) || memberId == caller.ProjectId;

    private static ImageMember Find(Image image, string memberId) =>
        image.Members.FirstOrDefault(m => m.MemberId == memberId) ?? throw NotFound(image.Id, memberId);

    private static void RequireShared(Image image)
    {
        if (image.Visibility != ImageVisibility.Shared)
        {
            throw new RegistryException(ErrorCode.Forbidden, "Only shared images have members.");
        }
    }

    private static RegistryException NotFound(string imageId, string memberId) =>
        new(ErrorCode.NotFound, $"{ImageRules.Shown(memberId)} not found in the member list of the image {imageId}.");
}
