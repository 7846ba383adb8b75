namespace Registry.Api.Policy;

/// <summary>A whole policy: rules by name.</summary>
internal sealed class PolicyRules
{
    private const string DefaultRule = "default";
    private const int DepthMax = 32;

    private readonly Dictionary<string, PolicyCheck> _checks;

    private PolicyRules(Dictionary<string, PolicyCheck> checks) => _checks = checks;

    /// <summary>Glance's rules.</summary>
    public static PolicyRules Defaults { get; } = With(new Dictionary<string, string>());

    /// <summary>Glance's rules, some of them replaced.</summary>
    /// <param name="overrides">Rules by name; names of no known rule are helpers of the others.</param>
    /// <exception cref="PolicyException">A rule cannot be read, refers to one that is not there, or leads to
    /// itself.</exception>
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

        var settled = new HashSet<string>(StringComparer.Ordinal);
        foreach (var name in checks.Keys)
        {
            RequireEnd(checks, name, [], settled);
        }

        return new PolicyRules(checks);
    }

    private static void RequireEnd(
        Dictionary<string, PolicyCheck> checks, string name, HashSet<string> path, HashSet<string> settled)
    {
        if (settled.Contains(name))
        {
            return;
        }

        if (!path.Add(name) || path.Count > DepthMax)
        {
            throw new PolicyException(name, path.Count > DepthMax ? "it refers to too many other rules" : "it leads to itself");
        }

        foreach (var rule in checks[name].Rules)
        {
            RequireEnd(checks, rule, path, settled);
        }

        path.Remove(name);
        settled.Add(name);
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
