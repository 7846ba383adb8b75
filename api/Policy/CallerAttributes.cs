using Registry.Api.Auth;

namespace Registry.Api.Policy;

/// <summary>The attributes of a caller that rules may name: those of oslo.policy, under their old names too.</summary>
internal static class CallerAttributes
{
    /// <summary>What an attribute is that the caller has not got.</summary>
    public const string None = "None";

    private static readonly Dictionary<string, Func<Caller, string?>> Texts = new(StringComparer.Ordinal)
    {
        ["user_id"] = caller => caller.UserId,
        ["user"] = caller => caller.UserId,
        ["user_domain_id"] = caller => caller.UserDomainId,
        ["user_domain"] = caller => caller.UserDomainId,
        ["project_id"] = caller => caller.ProjectId,
        ["project"] = caller => caller.ProjectId,
        ["tenant"] = caller => caller.ProjectId,
        ["tenant_id"] = caller => caller.ProjectId,
        ["project_domain_id"] = caller => caller.ProjectDomainId,
        ["project_domain"] = caller => caller.ProjectDomainId,
        ["domain_id"] = caller => caller.DomainId,
        ["domain"] = caller => caller.DomainId,
        ["system_scope"] = caller => caller.SystemScope,
        ["system"] = caller => caller.SystemScope,
        ["service_user_id"] = caller => caller.Service?.UserId,
        ["service_user_domain_id"] = caller => caller.Service?.UserDomainId,
        ["service_project_id"] = caller => caller.Service?.ProjectId,
        ["service_project_domain_id"] = caller => caller.Service?.ProjectDomainId,
    };

    private static readonly Dictionary<string, Func<Caller, bool>> Flags = new(StringComparer.Ordinal)
    {
        ["is_admin"] = caller => caller.IsAdmin,
        ["is_admin_project"] = caller => caller.IsAdminProject,
    };

    private static readonly Dictionary<string, Func<Caller, IReadOnlySet<string>>> Lists = new(StringComparer.Ordinal)
    {
        ["roles"] = caller => caller.Roles,
        ["service_roles"] = caller => caller.ServiceRoles,
    };

    /// <summary>Names of the attributes, in the order of the alphabet.</summary>
    public static IEnumerable<string> Names => Texts.Keys.Concat(Flags.Keys).Concat(Lists.Keys).Order(StringComparer.Ordinal);

    /// <summary>Whether there is an attribute of a name.</summary>
    public static bool IsKnown(string name) =>
        Texts.ContainsKey(name) || Flags.ContainsKey(name) || Lists.ContainsKey(name);

    /// <summary>Whether an attribute of a caller has a value.</summary>
    /// <param name="caller">The caller.</param>
    /// <param name="name">A known name.</param>
    /// <param name="value">The value.</param>
    /// <param name="isWritten">Whether the value is written in the rule. There <c>None</c> means an attribute that the
    /// caller has not got; the absence of an attribute never equals the absence of one of the target's.</param>
    public static bool Has(Caller caller, string name, string value, bool isWritten)
    {
        if (Flags.TryGetValue(name, out var flag))
        {
            return string.Equals(flag(caller) ? "true" : "false", value, StringComparison.OrdinalIgnoreCase);
        }

        if (Lists.TryGetValue(name, out var list))
        {
            return list(caller).Contains(value.ToLowerInvariant());
        }

        return Texts[name](caller) is { } text ? text == value : isWritten && value == None;
    }
}
