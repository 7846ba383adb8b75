namespace Registry.Api.Cli;

/// <summary>What is believed of the answers of the server that the user named: nothing that would take the user's token to
/// another server, or a file to another place.</summary>
internal static class NamedServer
{
    /// <summary>Requires that an address is one that the user's token may be sent to.</summary>
    /// <param name="named">The address that the user named.</param>
    /// <param name="other">An address from an answer.</param>
    /// <param name="what">What is there.</param>
    /// <param name="remedy">How the user allows it.</param>
    /// <exception cref="CommandException">It is on another host, or without TLS where the named one has it.</exception>
    public static void RequireSame(Uri named, Uri other, string what, string remedy)
    {
        var isSameHost = named.Host.Equals(other.Host, StringComparison.OrdinalIgnoreCase)
            || (named.IsLoopback && other.IsLoopback);
        if (!isSameHost)
        {
            throw new CommandException(
                $"{Authority(named)} says that {what} is at {Authority(other)}, which is another host: the token is not sent "
                + $"there. {remedy}");
        }

        if (named.Scheme == Uri.UriSchemeHttps && other.Scheme != Uri.UriSchemeHttps)
        {
            throw new CommandException(
                $"{Authority(named)} says that {what} is at {Authority(other)}, which has no TLS: the token is not sent there. "
                + remedy);
        }
    }

    /// <summary>Requires that an id is one: it becomes part of paths.</summary>
    /// <exception cref="CommandException">It is none.</exception>
    public static string RequireId(string? id) => Guid.TryParseExact(id, "D", out _)
        ? id
        : throw new CommandException($"the server answers with an image whose id is '{id}', which is no UUID.");

    /// <summary>Requires that a digest is hexadecimal, or empty: it becomes part of file names.</summary>
    /// <exception cref="CommandException">It is neither.</exception>
    public static string RequireDigest(string? digest) => digest is null || digest.All(char.IsAsciiHexDigit)
        ? digest ?? ""
        : throw new CommandException($"the server answers with an image whose digest is '{digest}', which is not hexadecimal.");

    private static string Authority(Uri address) => address.GetLeftPart(UriPartial.Authority);
}
