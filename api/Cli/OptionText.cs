using System.Globalization;

namespace Registry.Api.Cli;

/// <summary>The text behind <c>-o</c>: names and values as qemu-img has them.</summary>
internal static class OptionText
{
    /// <summary>Takes lists of NAME=VALUE apart; a doubled comma stands for one in a value, the last value
    /// wins.</summary>
    public static Dictionary<string, string> Parse(IEnumerable<string> lists)
    {
        var options = new Dictionary<string, string>();
        foreach (var item in lists.SelectMany(list => list.Replace(",,", "\0", StringComparison.Ordinal).Split(',')))
        {
            var (name, value) = item.Replace('\0', ',').Split('=', 2) switch
            {
                [var flag] => (flag, "on"),
                [var key, var text] => (key, text),
                _ => throw new CommandException($"'{item}' is not NAME=VALUE."),
            };
            options[name] = value;
        }

        return options;
    }

    /// <summary>A flag.</summary>
    public static bool Flag(string text) => text switch
    {
        "on" or "true" or "yes" or "y" => true,
        "off" or "false" or "no" or "n" => false,
        _ => throw new CommandException($"'{text}' is neither on nor off."),
    };

    /// <summary>A number.</summary>
    public static int Number(string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw new CommandException($"'{text}' is not a number.");

    /// <summary>The version that a compatibility level means.</summary>
    public static int Version(string text) => text switch
    {
        "0.10" or "v2" => 2,
        "1.1" or "v3" => 3,
        _ => throw new CommandException($"Unknown compatibility level {text}"),
    };
}
