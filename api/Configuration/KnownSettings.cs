using System.Reflection;

namespace Registry.Api.Configuration;

/// <summary>The keys of all settings, and which one is nearest to an unknown key.</summary>
/// <param name="root">Key of the section that <paramref name="type"/> describes.</param>
/// <param name="type">Its settings are the properties that can be set.</param>
internal sealed class KnownSettings(string root, Type type)
{
    private readonly IReadOnlyList<(string Section, string Name)> _all = [.. All(root, type)];

    /// <summary>Finds a setting by its name, in any case.</summary>
    public static PropertyInfo? Find(Type type, string name) => Settings(type).FirstOrDefault(
        property => property.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    /// <summary>Whether a type is one text, number, duration or yes or no.</summary>
    public static bool IsValue(Type type) =>
        type == typeof(string) || type == typeof(TimeSpan) || type.IsPrimitive || type.IsEnum
        || (Nullable.GetUnderlyingType(type) is { } plain && IsValue(plain));

    /// <summary>The type of a list's items; null for other types than lists.</summary>
    public static Type? ItemOf(Type type) =>
        type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IReadOnlyList<>) ? type.GetGenericArguments()[0] : null;

    /// <summary>The type of the values of a table of names; null for other types.</summary>
    public static Type? ValueOf(Type type) =>
        type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IReadOnlyDictionary<,>)
            ? type.GetGenericArguments()[1]
            : null;

    /// <summary>Says which setting may have been meant.</summary>
    /// <param name="section">The section that the key is in.</param>
    /// <param name="name">The unknown name.</param>
    public string Advice(string section, string name)
    {
        var plain = string.Join(':', section.Split(':').Where(part => !part.All(char.IsAsciiDigit)));
        var (nearest, distance) = _all
            .Select(key => (key, Distance: Distance(key.Name.ToUpperInvariant(), name.ToUpperInvariant())))
            .OrderBy(near => near.Distance)
            .ThenBy(near => near.key.Section.Equals(plain, StringComparison.OrdinalIgnoreCase) ? 0 : 1)
            .First();
        if (distance <= Math.Max(2, name.Length / 3))
        {
            return $"the nearest is {nearest.Section}:{nearest.Name}.";
        }

        var siblings = _all.Where(key => key.Section.Equals(plain, StringComparison.OrdinalIgnoreCase)).Select(key => key.Name);
        return $"{plain} has {string.Join(", ", siblings)}.";
    }

    private static IEnumerable<(string Section, string Name)> All(string section, Type type)
    {
        foreach (var setting in Settings(type))
        {
            yield return (section, setting.Name);
            var inner = ItemOf(setting.PropertyType) ?? setting.PropertyType;
            if (!IsValue(inner) && ValueOf(inner) is null)
            {
                foreach (var below in All($"{section}:{setting.Name}", inner))
                {
                    yield return below;
                }
            }
        }
    }

    private static IEnumerable<PropertyInfo> Settings(Type type) =>
        type.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(property => property.SetMethod is not null);

    /// <summary>How many letters must be put in, left out or replaced to make one name of the other (Levenshtein).</summary>
    private static int Distance(string one, string other)
    {
        var row = Enumerable.Range(0, other.Length + 1).ToArray();
        for (var i = 1; i <= one.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= other.Length; j++)
            {
                var replaced = diagonal + (one[i - 1] == other[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replaced, Math.Min(row[j], row[j - 1]) + 1);
            }
        }

        return row[other.Length];
    }
}
