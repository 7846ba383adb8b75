using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Storage.Domain;

namespace Registry.Api.Policy;

/// <summary>Decides who may do what: Glance's rules, overridden by the operator's file, which is read again when it
/// changes.</summary>
/// <remarks>One engine for HTTP, gRPC and the extension API. All of it is for projects: a token of the system or of a domain
/// may do nothing, whatever the rules say, as OpenStack's services have it (scope_types) since they enforce scopes.
/// </remarks>
public sealed class PolicyEngine
{
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

    /// <summary>Whether a caller may do something.</summary>
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
            throw new RegistryException(
                ErrorCode.Forbidden, $"You are not authorized to complete {rule} action.", "policy");
        }
    }

    /// <summary>Refuses what a caller may not do to an image.</summary>
    /// <param name="caller">Who asks.</param>
    /// <param name="rule">Glance's name of what is asked.</param>
    /// <param name="image">The image, which the caller's project sees.</param>
    /// <param name="memberId">The member that is meant; null for none.</param>
    /// <exception cref="RegistryException">Forbidden; NotFound for who may not even look at it.</exception>
    public void Require(Caller caller, string rule, Image image, string? memberId = null)
    {
        var target = PolicyTarget.OfImage(image, memberId);
        if (Allows(caller, rule, target))
        {
            return;
        }

        if (rule == "get_image" || !Allows(caller, "get_image", target))
        {
            throw Images.ImageCommands.NotFound(image.Id);
        }

        Require(caller, rule, target);
    }

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
        caller with { IsAdmin = Allows(caller, "context_is_admin", PolicyTarget.None) };
}
