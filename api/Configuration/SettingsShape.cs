using System.ComponentModel;
using System.Globalization;
using System.Reflection;

namespace Registry.Api.Configuration;

/// <summary>Compares a configuration with the settings that exist. The binder ignores unknown keys, and values of another
/// shape (a list for a text), so what they were meant to forbid would be allowed.</summary>
internal static class SettingsShape
{
    /// <summary>Compares a section with the type that it is read into.</summary>
    /// <exception cref="ConfigurationException">A key is unknown, or a value has the wrong shape; names the key.</exception>
    public static void Require(IConfigurationSection section, Type type)
    {
        var known = new KnownSettings(section.Path, type);
        foreach (var child in section.GetChildren())
        {
            Check(child, Setting(child, section, type, known), known);
        }
    }

    private static Type Setting(
        IConfigurationSection child, IConfigurationSection section, Type type, KnownSettings known) =>
        KnownSettings.Find(type, child.Key)?.PropertyType ?? throw new ConfigurationException(
            $"{child.Path} is not a setting; {known.Advice(section.Path, child.Key)}");

    private static void Check(IConfigurationSection section, Type type, KnownSettings known)
    {
        var entries = section.GetChildren().ToList();
        if (KnownSettings.IsValue(type))
        {
            Refuse(entries.Count > 0, section, IsList(entries) ? "a list" : "a section", Expected(type, isList: IsList(entries)));
            Refuse(section.Value is null, section, "null", $"{Expected(type)}, or left out");
            CheckValue(section, type);
            return;
        }

        Refuse(!string.IsNullOrEmpty(section.Value), section, "a text", KnownSettings.ItemOf(type) is null ? "a section" : "a list");
        if (KnownSettings.ItemOf(type) is { } item)
        {
            Refuse(entries.Count == 0 && section.Value is null, section, "null", "a list, or left out");
            Refuse(entries.Count > 0 && !IsList(entries), section, "a section", "a list");
            entries.ForEach(entry => Check(entry, item, known));
        }
        else if (KnownSettings.ValueOf(type) is { } value)
        {
            entries.ForEach(entry => Check(entry, value, known));
        }
        else
        {
            entries.ForEach(entry => Check(entry, Setting(entry, section, type, known), known));
        }
    }

    // A number alone would be read as days.
    private static void CheckValue(IConfigurationSection section, Type type)
    {
        var text = section.Value!;
        var plain = Nullable.GetUnderlyingType(type) ?? type;
        if (plain == typeof(string) || (plain != type && text.Length == 0))
        {
            return;
        }

        try
        {
            TypeDescriptor.GetConverter(plain).ConvertFromInvariantString(text);
        }
        catch (Exception unreadable) when (unreadable is ArgumentException or FormatException or NotSupportedException
            or OverflowException)
        {
            Refuse(true, section, $"'{text}'", Expected(type));
        }

        Refuse(plain == typeof(TimeSpan) && !text.Contains(':'), section, $"'{text}'", Expected(type));
    }

    private static bool IsList(List<IConfigurationSection> entries) =>
        entries.Count > 0 && entries.All(e => int.TryParse(e.Key, NumberStyles.None, CultureInfo.InvariantCulture, out _));

    private static string Expected(Type type, bool isList = false)
    {
        var plain = Nullable.GetUnderlyingType(type) ?? type;
        return plain == typeof(bool) ? "true or false"
            : plain == typeof(TimeSpan) ? "a duration such as 00:01:30 (hours, minutes, seconds)"
            : plain != typeof(string) ? "a number in its range"
            : isList ? "a text, with commas between its parts"
            : "a text";
    }

    private static void Refuse(bool condition, IConfigurationSection section, string found, string expected)
    {
        if (condition)
        {
            throw new ConfigurationException($"{section.Path} is {found}; it must be {expected}.");
        }
    }
}
