using System.Globalization;
using Registry.Api.Cli;

namespace Registry.Api.Adoption;

/// <summary>A database's address as SQLAlchemy writes it:
/// <c>dialect+driver://user:password@host:port/database?option=value</c>, user and password percent-encoded.</summary>
internal sealed class ConnectionUrl
{
    private readonly Dictionary<string, string> _options = new(StringComparer.Ordinal);

    private ConnectionUrl()
    {
    }

    /// <summary>The host; localhost where none is named.</summary>
    public string Host { get; private init; } = "";

    /// <summary>The port; null for the usual.</summary>
    public int? Port { get; private init; }

    /// <summary>The database.</summary>
    public string Database { get; private init; } = "";

    /// <summary>The user; null where none is named.</summary>
    public string? User { get; private init; }

    /// <summary>The password; null where there is none.</summary>
    public string? Password { get; private init; }

    /// <summary>Reads a URL.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static ConnectionUrl Parse(string text)
    {
        var rest = text[(text.IndexOf("://", StringComparison.Ordinal) + 3)..];
        var (address, query) = Cut(rest, '?');
        var slash = address.LastIndexOf('/');
        if (slash < 0 || slash == address.Length - 1)
        {
            throw new FormatException("No database is named.");
        }

        // A password that was not encoded may hold an '@'; a host cannot.
        var authority = address[..slash];
        var at = authority.LastIndexOf('@');
        var (user, password) = at < 0 ? default : Cut(authority[..at], ':');
        var (host, port) = HostAndPort(authority[(at + 1)..]);
        var url = new ConnectionUrl
        {
            Host = host.Length == 0 ? "localhost" : host,
            Port = port,
            Database = Uri.UnescapeDataString(address[(slash + 1)..]),
            User = user is null ? null : Uri.UnescapeDataString(user),
            Password = password is null ? null : Uri.UnescapeDataString(password),
        };
        foreach (var option in (query ?? "").Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var (name, value) = Cut(option, '=');
            url._options[name] = Uri.UnescapeDataString(value ?? "");
        }

        return url;
    }

    /// <summary>Takes the value of an option; null where it is not there.</summary>
    public string? Option(string name) => _options.Remove(name, out var value) ? value : null;

    /// <summary>Refuses options that nobody has taken: one that asks for protection must not be passed over.</summary>
    /// <exception cref="CommandException">There are some.</exception>
    public void RequireAllRead()
    {
        if (_options.Count > 0)
        {
            var names = string.Join(", ", _options.Keys.Order(StringComparer.Ordinal));
            throw new CommandException($"--from has options that are not known here: {names}.");
        }
    }

    private static (string Host, int? Port) HostAndPort(string text)
    {
        var bracket = text.LastIndexOf(']');
        var colon = text.LastIndexOf(':');
        if (colon <= bracket)
        {
            return (text.Trim('[', ']'), null);
        }

        return int.TryParse(text[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var port)
            && port is > 0 and <= ushort.MaxValue
                ? (text[..colon].Trim('[', ']'), port)
                : throw new FormatException("The port is no number.");
    }

    private static (string Before, string? After) Cut(string text, char mark)
    {
        var at = text.IndexOf(mark, StringComparison.Ordinal);
        return at < 0 ? (text, null) : (text[..at], text[(at + 1)..]);
    }
}
