namespace Registry.Api.Policy;

/// <summary>A whole policy: rules by name.</summary>
internal sealed class PolicyRules
{
    private const string DefaultRule = "default";

    private readonly Dictionary<string, PolicyCheck> _checks;

    private PolicyRules(Dictionary<string, PolicyCheck> checks) => _checks = checks;

    /// <summary>Glance's rules.</summary>
    public static PolicyRules Defaults { get; } = With(new Dictionary<string, string>());

    /// <summary>Glance's rules, some of them replaced.</summary>
    /// <param name="overrides">Rules by name; names of no known rule are helpers of the others.</param>
    /// <exception cref="PolicyException">A rule cannot be read, or refers to one that is not there.</exception>
    public static PolicyRules With(IReadOnlyDictionary<string, string> overrides)
    {
        var checks = new Dictionary<string, PolicyCheck>(StringComparer.Ordinal);
        foreach (var (name, text) in PolicyDefaults.Rules.Where(rule => !overrides.ContainsKey(rule.Key)).Concat(overrides))
        {
            try
            {
                checks[name] = PolicyParser.Parse(text);
            }
            catch (FormatException e)
            {
                throw new PolicyException(name, e.Message);
            }
        }

        foreach (var (name, check) in checks)
        {
            if (check.Rules.FirstOrDefault(rule => !checks.ContainsKey(rule)) is { } missing)
            {
                throw new PolicyException(name, $"there is no rule '{missing}'");
            }
        }

        return new PolicyRules(checks);
    }

    /// <summary>Whether there is a rule of a name.</summary>
    public bool Has(string name) => _checks.ContainsKey(name);

    /// <summary>A rule by name; the rule <c>default</c> for one that is not there.</summary>
    public PolicyCheck? Find(string name) =>
        _checks.TryGetValue(name, out var check) ? check : _checks.GetValueOrDefault(DefaultRule);
}

/// <summary>A rule that cannot be used.</summary>
internal sealed class PolicyException(string rule, string problem) : Exception($"rule '{rule}': {problem}")
{
    /// <summary>The rule.</summary>
    public string Rule { get; } = rule;
}
