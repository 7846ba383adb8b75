using Microsoft.Extensions.Options;
using Registry.Api.Federation;
using Registry.Storage.Domain;

namespace Registry.Api.Tests.Federation;

/// <summary>Tokens that wait for their jobs in the database.</summary>
public sealed class TokenSealTests
{
    private const string Image = "91111111-2222-4333-8444-000000000001";

    [Fact]
    public void Any_replica_opens_what_another_sealed()
    {
        var box = Seal("the password").Seal("token", Image);
        Assert.Equal("token", Seal("the password").Open(box, Image));
        Assert.NotEqual(box, Seal("the password").Seal("token", Image));
    }

    [Fact]
    public void A_key_of_its_own_goes_before_the_password()
    {
        var box = Seal("a password", "0123456789abcdef").Seal("token", Image);
        Assert.Equal("token", Seal("another password", "0123456789abcdef").Open(box, Image));
    }

    [Fact]
    public void Nobody_else_opens_it_nor_for_another_image_nor_when_it_was_changed()
    {
        var seal = Seal("the password");
        var box = seal.Seal("token", Image);
        var changed = Convert.FromBase64String(box);
        changed[^1] ^= 1;
        RequireUnreadable(() => Seal("another password").Open(box, Image));
        RequireUnreadable(() => seal.Open(box, "91111111-2222-4333-8444-000000000002"));
        RequireUnreadable(() => seal.Open(Convert.ToBase64String(changed), Image));
        RequireUnreadable(() => seal.Open(null, Image));
        RequireUnreadable(() => seal.Open("AAAA", Image));
        RequireUnreadable(() => seal.Open("not base64!", Image));
    }

    private static void RequireUnreadable(Func<string> open) =>
        Assert.Equal("token_unreadable", Assert.Throws<RegistryException>(open).Reason);

    private static TokenSeal Seal(string password, string key = "") => new(Options.Create(new RegistryOptions
    {
        Auth = new() { Keystone = new() { Password = password } },
        Import = new() { TokenKey = key },
    }));
}
