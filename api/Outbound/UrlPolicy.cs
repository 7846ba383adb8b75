using System.Globalization;
using System.Net;
using System.Text;
using Registry.Storage.Domain;

namespace Registry.Api.Outbound;

/// <summary>Which URLs the server fetches for users. What a name resolves to is judged when it is connected to.</summary>
public sealed class UrlPolicy(OutboundSection options, AddressPolicy addresses)
{
    private const int LengthMax = 2048;

    private readonly string[] _schemes = OutboundSection.Split(options.AllowedSchemes);
    private readonly Lists _ports = new(options.AllowedPorts, options.DeniedPorts);
    private readonly Lists _hosts = new(options.AllowedHosts, options.DeniedHosts);

    /// <summary>The reason of the refusal.</summary>
    public const string Reason = "address_not_allowed";

    /// <summary>The one refusal there is, of names that cannot be resolved too: it says nothing about what is where.</summary>
    public static RegistryException Refusal =>
        new(ErrorCode.BadRequest, "The address to download from is not allowed.", Reason);

    /// <summary>Reads a URL that a user gave.</summary>
    /// <exception cref="RegistryException">BadRequest: it may not be fetched.</exception>
    public Uri Read(string text)
    {
        // Parsers disagree about these; a URL that needs them encodes them.
        var isPlain = text.Length is > 0 and <= LengthMax && text.All(c => c is > ' ' and not ('\\' or '\x7f'));
        return isPlain && Uri.TryCreate(text, UriKind.Absolute, out var url) && Allows(url, out var plain)
            ? plain
            : throw Refusal;
    }

    /// <summary>Reads where a redirect leads.</summary>
    /// <param name="from">What was fetched.</param>
    /// <param name="location">The address in the answer.</param>
    /// <exception cref="RegistryException">BadRequest: it may not be fetched, or leads from https to http.</exception>
    public Uri Follow(Uri from, Uri? location)
    {
        if (location is null || !Uri.TryCreate(from, location, out var target))
        {
            throw Refusal;
        }

        var isWeaker = from.Scheme == Uri.UriSchemeHttps && target.Scheme != Uri.UriSchemeHttps;
        return isWeaker ? throw Refusal : Read(target.AbsoluteUri);
    }

    // Judged and used is the host without a dot at the end. Names that are not ASCII are refused: there are digits of
    // other widths, and what they become depends on who looks. Others' letters are written in Punycode.
    private bool Allows(Uri url, out Uri plain)
    {
        plain = url;
        if (!_schemes.Contains(url.Scheme) || url.UserInfo.Length > 0)
        {
            return false;
        }

        var host = url.IdnHost.TrimEnd('.');
        if (host.Length == 0 || !Ascii.IsValid(url.Host))
        {
            return false;
        }

        if (url.HostNameType == UriHostNameType.Dns && host != url.Host)
        {
            plain = new UriBuilder(url) { Host = host }.Uri;
            host = plain.IdnHost;
        }

        return _ports.Pass(url.Port.ToString(CultureInfo.InvariantCulture))
            && _hosts.Pass(host)
            && (!IPAddress.TryParse(host, out var address) || addresses.Allows(address));
    }

    private sealed class Lists(string allowed, string denied)
    {
        private readonly string[] _allowed = OutboundSection.Split(allowed);
        private readonly string[] _denied = OutboundSection.Split(denied);

        public bool Pass(string value) =>
            _allowed.Length > 0
                ? _allowed.Contains(value, StringComparer.OrdinalIgnoreCase)
                : !_denied.Contains(value, StringComparer.OrdinalIgnoreCase);
    }
}
