using Registry.Api.Auth;

namespace Registry.Api.Policy;

/// <summary>A condition of the policy language, parsed.</summary>
internal abstract record PolicyCheck
{
    /// <summary>Whether the condition holds.</summary>
    /// <param name="rules">Other rules, by name.</param>
    /// <param name="caller">Who asks.</param>
    /// <param name="target">What is asked about.</param>
    public abstract bool Holds(PolicyRules rules, Caller caller, PolicyTarget target);

    /// <summary>Names of the rules that the condition refers to.</summary>
    public virtual IEnumerable<string> Rules => [];
}

/// <summary><c>@</c>, <c>!</c> and the empty rule.</summary>
internal sealed record ConstantCheck(bool Value) : PolicyCheck
{
    /// <inheritdoc/>
    public override bool Holds(PolicyRules rules, Caller caller, PolicyTarget target) => Value;
}

/// <summary><c>role:NAME</c>. Roles have no case.</summary>
internal sealed record RoleCheck(string Role) : PolicyCheck
{
    /// <inheritdoc/>
    public override bool Holds(PolicyRules rules, Caller caller, PolicyTarget target) =>
        Expansion.Of(Role, target) is { } role && caller.Roles.Contains(role.ToLowerInvariant());
}

/// <summary><c>rule:NAME</c>.</summary>
internal sealed record RuleCheck(string Name) : PolicyCheck
{
    /// <inheritdoc/>
    public override IEnumerable<string> Rules => [Name];

    /// <inheritdoc/>
    public override bool Holds(PolicyRules rules, Caller caller, PolicyTarget target) =>
        rules.Find(Name) is { } check && check.Holds(rules, caller, target);
}

/// <summary><c>LEFT:RIGHT</c>: what the caller is, or a literal, against text with <c>%(name)s</c> in it.</summary>
internal sealed record MatchCheck(string Left, bool IsLiteral, string Right) : PolicyCheck
{
    /// <inheritdoc/>
    public override bool Holds(PolicyRules rules, Caller caller, PolicyTarget target) =>
        Expansion.Of(Right, target) is { } right
        && (IsLiteral
            ? Left == right
            : CallerAttributes.Has(caller, Left, right, isWritten: target.IsCaller || right == Right));
}

/// <summary><c>not CHECK</c>.</summary>
internal sealed record NotCheck(PolicyCheck Inner) : PolicyCheck
{
    /// <inheritdoc/>
    public override IEnumerable<string> Rules => Inner.Rules;

    /// <inheritdoc/>
    public override bool Holds(PolicyRules rules, Caller caller, PolicyTarget target) =>
        !Inner.Holds(rules, caller, target);
}

/// <summary><c>CHECK and CHECK …</c>.</summary>
internal sealed record AllCheck(IReadOnlyList<PolicyCheck> Parts) : PolicyCheck
{
    /// <inheritdoc/>
    public override IEnumerable<string> Rules => Parts.SelectMany(p => p.Rules);

    /// <inheritdoc/>
    public override bool Holds(PolicyRules rules, Caller caller, PolicyTarget target) =>
        Parts.All(part => part.Holds(rules, caller, target));
}

/// <summary><c>CHECK or CHECK …</c>.</summary>
internal sealed record AnyCheck(IReadOnlyList<PolicyCheck> Parts) : PolicyCheck
{
    /// <inheritdoc/>
    public override IEnumerable<string> Rules => Parts.SelectMany(p => p.Rules);

    /// <inheritdoc/>
    public override bool Holds(PolicyRules rules, Caller caller, PolicyTarget target) =>
        Parts.Any(part => part.Holds(rules, caller, target));
}

/// <summary>Text with <c>%(name)s</c> in it.</summary>
internal static class Expansion
{
    /// <summary>Fills in the target's attributes; null when one is not there.</summary>
    public static string? Of(string text, PolicyTarget target)
    {
        while (text.IndexOf("%(", StringComparison.Ordinal) is var start and >= 0)
        {
            var end = text.IndexOf(")s", start, StringComparison.Ordinal);
            if (end < 0)
            {
                return null;
            }

            if (target.Find(text[(start + 2)..end]) is not { } value)
            {
                return null;
            }

            // What was filled in is never filled in again: values are whatever users wrote.
            var rest = Of(text[(end + 2)..], target);
            return rest is null ? null : text[..start] + value + rest;
        }

        return text;
    }
}
