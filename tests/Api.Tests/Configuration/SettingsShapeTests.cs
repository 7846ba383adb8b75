using System.Text;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Configuration;
using Registry.Api.Configuration;
using Registry.Support;

namespace Registry.Api.Tests.Configuration;

/// <summary>A setting that would be left out without a word stops the start.</summary>
public sealed partial class SettingsShapeTests
{
    [Theory]
    [InlineData("""{"Outbound":{"DeniedHosts":["10.0.0.1"]}}""", "Registry:Outbound:DeniedHosts is a list; it must be a text, with commas")]
    [InlineData("""{"Import":{"Methods":["glance-direct"]}}""", "Registry:Import:Methods is a list; it must be a text, with commas")]
    [InlineData("""{"Import":{"Methods":{"a":"b"}}}""", "Registry:Import:Methods is a section; it must be a text")]
    [InlineData("""{"Limits":{"ListMax":[5]}}""", "Registry:Limits:ListMax is a list; it must be a number")]
    [InlineData("""{"Limits":[5]}""", "Registry:Limits:0 is not a setting; ")]
    [InlineData("""{"Limits":"5"}""", "Registry:Limits is a text; it must be a section")]
    [InlineData("""{"Auth":{"TrustedProxies":"10.0.0.0/8"}}""", "Registry:Auth:TrustedProxies is a text; it must be a list")]
    [InlineData("""{"Auth":{"TrustedProxies":{"a":"10.0.0.0/8"}}}""", "Registry:Auth:TrustedProxies is a section; it must be a list")]
    [InlineData("""{"Auth":{"TrustedProxies":[["10.0.0.0/8"]]}}""", "Registry:Auth:TrustedProxies:0 is a list; it must be a text")]
    [InlineData("""{"Auth":{"TrustedProxies":null}}""", "Registry:Auth:TrustedProxies is null; it must be a list, or left out")]
    [InlineData("""{"Cors":{"AllowedOrigins":"https://a.example"}}""", "Registry:Cors:AllowedOrigins is a text; it must be a list")]
    [InlineData("""{"Stores":{"main":{"Path":"x"}}}""", "Registry:Stores is a section; it must be a list")]
    [InlineData("""{"Stores":["main"]}""", "Registry:Stores:0 is a text; it must be a section")]
    [InlineData("""{"Stores":"main"}""", "Registry:Stores is a text; it must be a list")]
    [InlineData("""{"Import":{"Inject":"a=b"}}""", "Registry:Import:Inject is a text; it must be a section")]
    [InlineData("""{"Import":{"Inject":{"a":["b"]}}}""", "Registry:Import:Inject:a is a list; it must be a text")]
    [InlineData("""{"Database":{"Kind":null}}""", "Registry:Database:Kind is null; it must be a text, or left out")]
    [InlineData("""{"Limits":{"ListMax":"many"}}""", "Registry:Limits:ListMax is 'many'; it must be a number in its range")]
    [InlineData("""{"Limits":{"ListMax":99999999999}}""", "Registry:Limits:ListMax is '99999999999'; it must be a number")]
    [InlineData("""{"Limits":{"ListMax":1.5}}""", "Registry:Limits:ListMax is '1.5'; it must be a number")]
    [InlineData("""{"Limits":{"ListMax":""}}""", "Registry:Limits:ListMax is ''; it must be a number")]
    [InlineData("""{"Import":{"Decompress":"yes"}}""", "Registry:Import:Decompress is 'yes'; it must be true or false")]
    [InlineData("""{"Uploads":{"Lease":"1m"}}""", "Registry:Uploads:Lease is '1m'; it must be a duration")]
    [InlineData("""{"Uploads":{"Lease":60}}""", "Registry:Uploads:Lease is '60'; it must be a duration")]
    [InlineData("""{"Stores":[{"Cached":"maybe"}]}""", "Registry:Stores:0:Cached is 'maybe'; it must be true or false")]
    public void A_value_of_another_shape_is_refused_by_name(string json, string message) =>
        Assert.StartsWith(message, Refusal(json), StringComparison.Ordinal);

    [Theory]
    [InlineData("""{"Outbound":{"DeniedHost":"a"}}""", "Registry:Outbound:DeniedHost is not a setting; the nearest is Registry:Outbound:DeniedHosts.")]
    [InlineData("""{"Imports":{"Methods":"a"}}""", "Registry:Imports is not a setting; the nearest is Registry:Import.")]
    [InlineData("""{"DeniedHosts":"a"}""", "Registry:DeniedHosts is not a setting; the nearest is Registry:Outbound:DeniedHosts.")]
    [InlineData("""{"Stores":[{"Id":"a"},{"Buckets":"b"}]}""", "Registry:Stores:1:Buckets is not a setting; the nearest is Registry:Stores:Bucket.")]
    [InlineData("""{"Policy":{"Zzzzzzzzz":"b"}}""", "Registry:Policy:Zzzzzzzzz is not a setting; Registry:Policy has File.")]
    [InlineData("""{"Auth":{"Keystone":{"Passwort":"b"}}}""", "Registry:Auth:Keystone:Passwort is not a setting; the nearest is Registry:Auth:Keystone:Password.")]
    [InlineData("""{"IsEmbedded":true}""", "Registry:IsEmbedded is not a setting; ")]
    [InlineData("""{"DataDirectory ":"b"}""", "Registry:DataDirectory  is not a setting; the nearest is Registry:DataDirectory.")]
    public void An_unknown_key_is_refused_with_the_nearest_one(string json, string message) =>
        Assert.StartsWith(message, Refusal(json), StringComparison.Ordinal);

    [Theory]
    [InlineData("""{}""")]
    [InlineData("""{"Limits":{},"Stores":[],"Database":null,"Import":{"Inject":{}}}""")]
    [InlineData("""{"datadirectory":"x","LIMITS":{"listmax":5}}""")]
    [InlineData("""{"Uploads":{"Lease":"00:01:00"},"Jobs":{"Keep":"2.00:00:00"}}""")]
    [InlineData("""{"Auth":{"TrustedProxies":["10.0.0.0/8"]},"Import":{"Inject":{"a":"b"},"Decompress":"True"}}""")]
    [InlineData("""{"Stores":[{"Id":"a","Cached":false,"Weight":-1},{"Id":"b","Cached":""}]}""")]
    public void What_is_known_and_has_its_shape_is_accepted(string json) => Require(json);

    [Fact]
    public void A_list_replaces_its_default()
    {
        var section = Section("""{"Auth":{"TrustedProxies":["10.0.0.0/8"]}}""");
        var auth = section.Get<RegistryOptions>()!.Auth;
        Assert.Equal("10.0.0.0/8", Assert.Single(auth.TrustedNetworks()).ToString());
        Assert.Equal(2, new RegistryOptions().Auth.TrustedNetworks().Count);
    }

    [Fact]
    public void Every_setting_that_the_guide_names_exists()
    {
        var guide = File.ReadAllText(Path.Combine(RepositoryTree.Root, "README.md"));
        var named = SettingPattern().Matches(guide).Select(match => match.Value.Replace("__", ":", StringComparison.Ordinal)).ToList();
        Assert.InRange(named.Count, 40, 1000);
        Assert.All(named, key =>
        {
            var type = typeof(RegistryOptions);
            foreach (var part in key.Split(':').Skip(1).Where(part => !part.All(char.IsAsciiDigit)))
            {
                var setting = KnownSettings.Find(KnownSettings.ItemOf(type) ?? type, part);
                Assert.True(setting is not null, $"{key} is not a setting.");
                type = setting.PropertyType;
            }
        });
    }

    private static string Refusal(string json) => Assert.Throws<ConfigurationException>(() => Require(json)).Message;

    private static void Require(string json) => SettingsShape.Require(Section(json), typeof(RegistryOptions));

    private static IConfigurationSection Section(string json) => new ConfigurationBuilder()
        .AddJsonStream(new MemoryStream(Encoding.UTF8.GetBytes($$"""{"Registry":{{json}}}""")))
        .Build()
        .GetSection("Registry");

    [GeneratedRegex(@"\bRegistry(:|__)[A-Z]\w*((:|__)[A-Z0-9]\w*)*", RegexOptions.ExplicitCapture)]
    private static partial Regex SettingPattern();
}
