using System.Text.RegularExpressions;

namespace Registry.Api.Policy;

/// <summary>Reads a property protections file: INI, a section for each rule, named by a regular expression
/// (spec/glance-v2.md, 3.6).</summary>
internal static class PropertyRulesFile
{
    private const long LengthMax = 1 << 20;

    private static readonly TimeSpan MatchTime = TimeSpan.FromMilliseconds(250);

    private static readonly PropertyAction[] Actions = Enum.GetValues<PropertyAction>();

    /// <summary>Reads a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="isByPolicy">Whether its entries name a policy rule each, or else roles.</param>
    /// <param name="isPolicy">Whether there is a policy rule of a name.</param>
    /// <exception cref="ConfigurationException">It cannot be used; the message names the line.</exception>
    public static IReadOnlyList<PropertyRule> Read(string path, bool isByPolicy, Func<string, bool> isPolicy)
    {
        try
        {
            if (new FileInfo(path).Length > LengthMax)
            {
                throw Unusable(path, 0, $"it is larger than {LengthMax} bytes");
            }

            return Read(path, File.ReadAllLines(path), isByPolicy, isPolicy);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unusable(path, 0, e.Message);
        }
    }

    private static List<PropertyRule> Read(
        string path, string[] lines, bool isByPolicy, Func<string, bool> isPolicy)
    {
        var rules = new List<PropertyRule>();
        for (var i = 0; i < lines.Length; i++)
        {
            var text = lines[i].Trim();
            try
            {
                if (text.Length == 0 || text[0] is '#' or ';')
                {
                    continue;
                }

                if (text[0] == '[')
                {
                    rules.Add(ReadSection(text, i + 1, rules));
                    continue;
                }

                var rule = rules.Count > 0 ? rules[^1] : throw new FormatException("it belongs to no [section]");
                ReadEntry(text, rule, isByPolicy, isPolicy);
            }
            catch (FormatException e)
            {
                throw Unusable(path, i + 1, e.Message);
            }
        }

        foreach (var rule in rules)
        {
            foreach (var action in Actions.Where(action => !rule.Allowed.ContainsKey(action)))
            {
                throw Unusable(path, rule.Line, $"[{rule.Name}] does not say who may {Word(action)}");
            }
        }

        return rules;
    }

    private static PropertyRule ReadSection(string text, int line, List<PropertyRule> before)
    {
        var pattern = text.EndsWith(']') && text.Length > 2
            ? text[1..^1]
            : throw new FormatException("a section looks like [regular expression]");
        return before.Exists(rule => rule.Name.ToString() == pattern)
            ? throw new FormatException($"[{pattern}] is there twice")
            : new PropertyRule(line, Compile(pattern));
    }

    // Most expressions run in linear time; those that look around cannot, and are given little time.
    private static Regex Compile(string pattern)
    {
        try
        {
            return new Regex(pattern, RegexOptions.CultureInvariant | RegexOptions.NonBacktracking, MatchTime);
        }
        catch (NotSupportedException)
        {
            return new Regex(pattern, RegexOptions.CultureInvariant, MatchTime);
        }
        catch (ArgumentException e)
        {
            throw new FormatException($"[{pattern}] is no regular expression: {e.Message}");
        }
    }

    private static void ReadEntry(string text, PropertyRule rule, bool isByPolicy, Func<string, bool> isPolicy)
    {
        var end = text.AsSpan().IndexOfAny('=', ':');
        var word = end < 0 ? text : text[..end].TrimEnd().ToLowerInvariant();
        if (end < 0 || Array.Find(Actions, a => Word(a) == word) is var action && Word(action) != word)
        {
            throw new FormatException($"'{word}' is not create, read, update or delete followed by =");
        }

        string[] who = [.. text[(end + 1)..].Split(',').Select(name => name.Trim()).Where(name => name.Length > 0)];
        if (who.Length == 0)
        {
            who = ["!"]; // as Glance has it: nobody named is nobody
        }

        if (who.Contains("@") && who.Contains("!"))
        {
            throw new FormatException($"{word} cannot be for everybody (@) and for nobody (!)");
        }

        if (isByPolicy && who.Length > 1)
        {
            throw new FormatException($"{word} can name one policy rule, not several");
        }

        if (isByPolicy && who[0] is not ("@" or "!") && !isPolicy(who[0]))
        {
            throw new FormatException($"there is no policy rule '{who[0]}'");
        }

        if (!rule.Allowed.TryAdd(action, isByPolicy ? who : [.. who.Select(role => role.ToLowerInvariant())]))
        {
            throw new FormatException($"{word} is there twice in [{rule.Name}]");
        }
    }

    private static string Word(PropertyAction action) => action.ToString().ToLowerInvariant();

    private static ConfigurationException Unusable(string path, int line, string problem) => new(
        line > 0
            ? $"Registry:PropertyProtections:File {path}, line {line}: {problem}."
            : $"Registry:PropertyProtections:File {path}: {problem}.");
}
