using Microsoft.Extensions.Options;
using Registry.Api.Nbd;

namespace Registry.Api.Tests.Nbd;

/// <summary>Connections that have not chosen an export are bounded, in all and for each address.</summary>
public sealed class NbdLobbyTests
{
    private readonly NbdLobby _lobby = new(Options.Create(new RegistryOptions { Nbd = new() { HandshakesMax = 8 } }));
    private readonly List<string> _evicted = [];

    [Fact]
    public void An_address_has_half_of_the_places_and_loses_its_oldest()
    {
        for (var i = 0; i < 10; i++)
        {
            Enter("a", $"a{i}");
        }

        Assert.Equal(["a0", "a1", "a2", "a3", "a4", "a5"], _evicted);
        Assert.Equal(4, _lobby.Count);
    }

    [Fact]
    public void When_all_places_are_taken_the_address_with_most_loses_its_oldest()
    {
        foreach (var guest in (string[])["a0", "b0", "a1", "a2", "b1", "c0", "d0", "e0"])
        {
            Enter(guest[..1], guest);
        }

        Assert.Empty(_evicted);
        Enter("f", "f0");
        Assert.Equal(["a0"], _evicted);
        Assert.Equal(8, _lobby.Count);
    }

    [Fact]
    public void A_place_is_left_once_whether_it_was_evicted_or_not()
    {
        var places = Enumerable.Range(0, 5).Select(i => Enter("a", $"a{i}")).ToList();
        Assert.Equal(4, _lobby.Count);
        foreach (var place in places.Concat(places))
        {
            place.Dispose();
        }

        Assert.Equal(0, _lobby.Count);
        Enter("a", "again");
        Assert.Equal(["a0"], _evicted);
    }

    private IDisposable Enter(string address, string guest) => _lobby.Enter(address, () => _evicted.Add(guest));
}
