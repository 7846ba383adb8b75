using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Registry.Api.Policy;

/// <summary>The operator's policy file: YAML (or JSON), one <c>"rule name": "rule"</c> an entry, as oslo.policy reads
/// it.</summary>
internal static class PolicyFile
{
    private const long LengthMax = 1 << 20;

    /// <summary>Reads a file over Glance's defaults.</summary>
    /// <exception cref="ConfigurationException">It cannot be used; the message names the line.</exception>
    public static PolicyRules Read(string path)
    {
        var lines = new Dictionary<string, long>(StringComparer.Ordinal);
        try
        {
            return PolicyRules.With(ReadRules(path, lines));
        }
        catch (PolicyException e)
        {
            throw Unusable(path, lines.GetValueOrDefault(e.Rule), e.Message);
        }
        catch (YamlException e)
        {
            throw Unusable(path, e.Start.Line, e.Message);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unusable(path, 0, e.Message);
        }
    }

    private static Dictionary<string, string> ReadRules(string path, Dictionary<string, long> lines)
    {
        if (new FileInfo(path).Length > LengthMax)
        {
            throw Unusable(path, 0, $"it is larger than {LengthMax} bytes");
        }

        using var reader = new StreamReader(path);
        var yaml = new YamlStream();
        yaml.Load(reader);
        var rules = new Dictionary<string, string>(StringComparer.Ordinal);
        if (yaml.Documents.Count == 0 || yaml.Documents[0].RootNode is YamlScalarNode { Value: null or "" })
        {
            return rules;
        }

        if (yaml.Documents[0].RootNode is not YamlMappingNode mapping)
        {
            throw Unusable(path, yaml.Documents[0].RootNode.Start.Line, "it is no list of rules by name");
        }

        foreach (var (key, value) in mapping.Children)
        {
            if (key is not YamlScalarNode { Value: { Length: > 0 } name } || value is not YamlScalarNode rule)
            {
                throw Unusable(path, key.Start.Line, "an entry must be \"name\": \"rule\"");
            }

            lines[name] = key.Start.Line;
            rules[name] = rule.Value ?? "";
        }

        return rules;
    }

    private static ConfigurationException Unusable(string path, long line, string problem) =>
        new(line > 0 ? $"Registry:Policy:File {path}, line {line}: {problem}." : $"Registry:Policy:File {path}: {problem}.");
}
