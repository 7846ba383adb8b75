using System.Collections.Frozen;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;
using Registry.Storage.Metadata;

namespace Registry.Api.Policy;

/// <summary>Decides who may do what: Glance's rules, overridden by the operator's file, which is read again when it
/// changes, and ownership, which no rule overrides.</summary>
/// <remarks>One engine for HTTP, gRPC, NBD and the extension API. All of it is for projects: a token of the system or of
/// a domain may do nothing, whatever the rules say, as OpenStack's services have it (scope_types) since they enforce
/// scopes.</remarks>
public sealed class PolicyEngine
{
    private const string GetImage = "get_image";
    private const string GetNamespace = "get_metadef_namespace";

    // The rules of what changes an image. Not copy_image: Glance leaves it to the operator whether others may copy.
    private static readonly FrozenSet<string> OfOwners = FrozenSet.Create(
        StringComparer.Ordinal,
        "modify_image", "delete_image", "upload_image", "deactivate", "reactivate", "add_image_location",
        "set_image_location", "delete_image_location", "add_member", "delete_member");

    // Glance applies its rules of members only to callers that may see the image.
    private static readonly FrozenSet<string> OfMembers = FrozenSet.Create(
        StringComparer.Ordinal, "get_members", "get_member", "add_member", "modify_member", "delete_member");

    private readonly WatchedFiles<PolicyRules>? _file;

    /// <summary>Reads the operator's file, if one is configured.</summary>
    /// <exception cref="ConfigurationException">It cannot be used; the message names the line.</exception>
    public PolicyEngine(IOptions<RegistryOptions> options, TimeProvider clock, ILogger<PolicyEngine> logger)
    {
        var path = options.Value.Policy.File;
        _file = path.Length == 0
            ? null
            : new WatchedFiles<PolicyRules>([path], () => PolicyFile.Read(path), clock, logger);
    }

    private PolicyRules Rules => _file?.Content ?? PolicyRules.Defaults;

    /// <summary>Whether a rule lets a caller do something. Ownership is not looked at.</summary>
    /// <param name="caller">Who asks.</param>
    /// <param name="rule">Glance's name of what is asked.</param>
    /// <param name="target">What it is done to.</param>
    public bool Allows(Caller caller, string rule, PolicyTarget target)
    {
        var rules = Rules;
        return caller is { SystemScope: null, DomainId: null }
            && rules.Find(rule) is { } check && check.Holds(rules, caller, target);
    }

    /// <summary>Whether there is a rule of a name.</summary>
    internal bool Knows(string rule) => Rules.Has(rule);

    /// <summary>Refuses what a caller may not do.</summary>
    /// <exception cref="RegistryException">Forbidden.</exception>
    public void Require(Caller caller, string rule, PolicyTarget target)
    {
        if (!Allows(caller, rule, target))
        {
            throw Denied(rule);
        }
    }

    /// <summary>Refuses what a caller may not do to an image: by the rule and, where it changes the image, by
    /// ownership.</summary>
    /// <param name="caller">Who asks.</param>
    /// <param name="rule">Glance's name of what is asked.</param>
    /// <param name="image">The image, which the caller's project sees.</param>
    /// <param name="memberId">The member that is meant; null for none.</param>
    /// <exception cref="RegistryException">Forbidden; NotFound for a caller that may not see it.</exception>
    public void Require(Caller caller, string rule, Image image, string? memberId = null)
    {
        var target = PolicyTarget.OfImage(image, memberId);
        var isAllowed = Allows(caller, rule, target);
        if (isAllowed && OwnershipProblem(caller, rule, image, memberId) is null
            && (!OfMembers.Contains(rule) || Allows(caller, GetImage, target)))
        {
            return;
        }

        if (rule == GetImage || !Allows(caller, GetImage, target))
        {
            throw Images.ImageCommands.NotFound(image.Id);
        }

        throw isAllowed ? OwnershipProblem(caller, rule, image, memberId)! : Denied(rule);
    }

    /// <summary>Refuses what a caller may not do to a namespace of metadata definitions or to what is in it, by the
    /// rules.</summary>
    /// <exception cref="RegistryException">Forbidden; NotFound for a caller that may not see it.</exception>
    public void Require(Caller caller, IReadOnlyList<string> rules, MetadefNamespace definitions)
    {
        foreach (var rule in rules)
        {
            RequireOfNamespaces(caller, rule, PolicyTarget.OfNamespace(definitions), definitions.Name);
        }
    }

    /// <summary>Refuses changes to a namespace of metadata definitions, or to what is in it, by the rules and by
    /// ownership.</summary>
    /// <exception cref="RegistryException">Forbidden; NotFound for a caller that may not see it.</exception>
    public void RequireChange(Caller caller, IReadOnlyList<string> rules, MetadefNamespace definitions)
    {
        Require(caller, rules, definitions);
        RequireOwner(caller, definitions);
    }

    /// <summary>Refuses a caller that neither owns a namespace nor is an administrator.</summary>
    /// <exception cref="RegistryException">Forbidden.</exception>
    public void RequireOwner(Caller caller, MetadefNamespace definitions)
    {
        if (!caller.IsAdmin && (definitions.Owner is null || definitions.Owner != caller.ProjectId))
        {
            throw NotOwner($"Namespace {definitions.Name} is not yours to change.");
        }
    }

    /// <summary>Refuses a list of what is in namespaces, by its rule.</summary>
    /// <exception cref="RegistryException">Forbidden; NotFound for a caller that may see no namespace.</exception>
    public void RequireList(Caller caller, string rule) =>
        RequireOfNamespaces(caller, rule, PolicyTarget.OfCaller(caller), name: null);

    /// <summary>Refuses a visibility that a caller may not give to an image.</summary>
    /// <exception cref="RegistryException">Forbidden.</exception>
    public void RequireVisibility(Caller caller, Image image)
    {
        var rule = image.Visibility switch
        {
            ImageVisibility.Public => "publicize_image",
            ImageVisibility.Community => "communitize_image",
            _ => null,
        };
        if (rule is not null)
        {
            Require(caller, rule, PolicyTarget.OfImage(image));
        }
    }

    /// <summary>The caller, marked as administrator where the rules make it one.</summary>
    internal Caller WithAdmin(Caller caller) =>
        caller with { IsAdmin = Allows(caller, "context_is_admin", PolicyTarget.OfCaller(caller)) };

    // Null where the rule alone decides, or ownership is given.
    private RegistryException? OwnershipProblem(Caller caller, string rule, Image image, string? memberId)
    {
        if (caller.IsAdmin)
        {
            return null;
        }

        // The answer to an invitation is the invited project's, not that of the project that invites.
        if (rule == "modify_member")
        {
            var isInvited = image.Members.Any(member => member.MemberId == memberId);
            return !isInvited || (memberId == caller.ProjectId && image.Owner != caller.ProjectId)
                ? null // as in Glance, the lookup of the member that follows answers 404
                : NotOwner("You are not permitted to modify 'status' on this image member.");
        }

        // A service of the cloud reports where the bytes of a user's image are.
        if (!OfOwners.Contains(rule) || caller.Viewer.MayChange(image)
            || (rule == "add_image_location" && Allows(caller, "service_api", PolicyTarget.None)))
        {
            return null;
        }

        // Glance answers a deletion as if there were no such image.
        return rule == "delete_image" ? Images.ImageCommands.NotFound(image.Id) : NotOwner("You do not own this image");
    }

    private void RequireOfNamespaces(Caller caller, string rule, PolicyTarget target, string? name)
    {
        if (Allows(caller, rule, target))
        {
            return;
        }

        var isHidden = rule == GetNamespace || !Allows(caller, GetNamespace, target);
        throw !isHidden ? Denied(rule)
            : name is null ? new RegistryException(ErrorCode.NotFound, "The resource could not be found.")
            : MetadefQueries.NotFound(name);
    }

    private static RegistryException Denied(string rule) =>
        new(ErrorCode.Forbidden, $"You are not authorized to complete {rule} action.", "policy");

    private static RegistryException NotOwner(string message) => new(ErrorCode.Forbidden, message, "not_owner");
}
