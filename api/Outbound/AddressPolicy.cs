using System.Net;
using System.Net.Sockets;

namespace Registry.Api.Outbound;

/// <summary>Which addresses the server connects to for users: public ones, and those that the operator names.</summary>
/// <remarks>spec/reliability.md 2.3. An IPv6 address that stands for an IPv4 address is judged as that one; the ways of
/// tunnelling that carry any address at all (6to4, Teredo) are refused whole.</remarks>
/// <param name="allowed">Networks that are allowed though they are not public.</param>
public sealed class AddressPolicy(IReadOnlyList<IPNetwork> allowed)
{
    private static readonly IPNetwork[] NotPublic4 =
    [
        .. new[]
        {
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        }.Select(network => IPNetwork.Parse(network)),
    ];

    // What is outside of 2000::/3 is not routed in public; inside, these are set apart.
    private static readonly IPNetwork Public6 = IPNetwork.Parse("2000::/3");
    private static readonly IPNetwork[] NotPublic6 =
        [.. new[] { "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20" }.Select(network => IPNetwork.Parse(network))];

    private static readonly IPNetwork Translated = IPNetwork.Parse("64:ff9b::/96");
    private static readonly IPNetwork Compatible = IPNetwork.Parse("::/96");

    /// <summary>Whether an address may be connected to.</summary>
    public bool Allows(IPAddress address)
    {
        var judged = Unwrap(address);
        if (allowed.Any(network => network.Contains(judged)))
        {
            return true;
        }

        return judged.AddressFamily switch
        {
            AddressFamily.InterNetwork => !NotPublic4.Any(network => network.Contains(judged)),
            AddressFamily.InterNetworkV6 => judged.ScopeId == 0 && Public6.Contains(judged)
                && !NotPublic6.Any(network => network.Contains(judged)),
            _ => false,
        };
    }

    // Mapped (::ffff:a.b.c.d), translated (64:ff9b::a.b.c.d) and, of old, compatible (::a.b.c.d).
    private static IPAddress Unwrap(IPAddress address)
    {
        if (address.IsIPv4MappedToIPv6)
        {
            return address.MapToIPv4();
        }

        if (address.AddressFamily != AddressFamily.InterNetworkV6
            || !(Translated.Contains(address) || Compatible.Contains(address))
            || IPAddress.IPv6Loopback.Equals(address) || IPAddress.IPv6Any.Equals(address))
        {
            return address;
        }

        return new IPAddress(address.GetAddressBytes().AsSpan(12));
    }
}
