using Registry.Api.Stores;

namespace Registry.Api.Tests;

public sealed class RegistryOptionsTests
{
    [Fact]
    public void The_defaults_are_valid() => new RegistryOptions().Validate();

    [Fact]
    public void Nbd_for_callers_that_differ_is_valid_on_loopback() => new RegistryOptions
    {
        Endpoints = new() { Nbd = "nbd://127.0.0.1:10809" },
        Auth = new() { Kind = "proxy" },
    }.Validate();

    public static TheoryData<RegistryOptions> Wrong => new(
        new RegistryOptions { Database = new() { Kind = "oracle" } },
        new RegistryOptions { Database = new() { Kind = "postgres" } },
        new RegistryOptions { Database = new() { Kind = "postgres", ConnectionString = "Host=h;Password=a;b" } },
        new RegistryOptions { Database = new() { Kind = "postgres", ConnectionString = "Host=h;Flavour=b" } },
        new RegistryOptions { Auth = new() { Kind = "magic" } },
        new RegistryOptions { Endpoints = new() { Http = "http://0.0.0.0:9292" } },
        new RegistryOptions { Endpoints = new() { Grpc = "http://images.example:9293" } },
        new RegistryOptions { Endpoints = new() { Metrics = "9294" } },
        new RegistryOptions { Endpoints = new() { Nbd = "http://127.0.0.1:10809" } },
        new RegistryOptions { Endpoints = new() { Nbd = "nbd://0.0.0.0:10809" } },
        new RegistryOptions { Endpoints = new() { Nbd = "nbd://0.0.0.0" }, Auth = new() { Kind = "proxy" } },
        new RegistryOptions { PublicNbdEndpoint = "http://images.example" },
        new RegistryOptions { Nbd = new() { ConnectionsMax = 0 } },
        new RegistryOptions { Nbd = new() { Patience = TimeSpan.Zero } },
        new RegistryOptions { Nbd = new() { OverlayDirectory = "/no/such/directory" } },
        new RegistryOptions { Nbd = new() { RequireTls = true } },
        new RegistryOptions { Tls = new() { CertificateFile = "c.pem" } },
        new RegistryOptions { Tls = new() { KeyFile = "k.pem" } },
        new RegistryOptions { Endpoints = new() { Http = "https://127.0.0.1:9292" } },
        new RegistryOptions { Nbd = new() { ClientCaFile = "ca.pem" } },
        new RegistryOptions { Tls = new() { CertificateFile = "/no/such/file", KeyFile = "/no/such/file" } },
        new RegistryOptions { Limits = new() { ListMax = 5000 } },
        new RegistryOptions { Uploads = new() { MinimumBytesPerSecond = 0 } },
        new RegistryOptions { Cache = new() { MaxBytes = 1000 } },
        new RegistryOptions { Cache = new() { QueueDelay = TimeSpan.FromSeconds(-1) } },
        new RegistryOptions { Cache = new() { SweepInterval = TimeSpan.Zero } },
        new RegistryOptions { Uploads = new() { Lease = TimeSpan.Zero } },
        new RegistryOptions { Uploads = new() { ReapInterval = TimeSpan.Zero } },
        new RegistryOptions { Stores = [new() { Id = "a", Path = "x" }, new() { Id = "a", Path = "y" }] },
        new RegistryOptions { Stores = [new() { Id = "a", Kind = "tape", Path = "x" }] },
        new RegistryOptions { Stores = [new() { Id = "a,b", Path = "x" }] },
        new RegistryOptions { Stores = [new() { Id = "a", Path = "x", ReadOnly = true }] },
        new RegistryOptions { Stores = [new() { Id = "a", Path = "x" }, Web with { Default = true }] },
        new RegistryOptions { Stores = [Web] },
        new RegistryOptions { Stores = [new() { Id = "a", Path = "x" }, null!] },
        new RegistryOptions { Stores = [new() { Id = "a", Path = "x" }, Web with { Endpoint = "ftp://h/" }] },
        new RegistryOptions { Stores = [new() { Id = "a", Path = "x" }, Web with { Endpoint = "http://u:p@h/" }] },
        new RegistryOptions { Stores = [Bucket with { Bucket = "No" }] },
        new RegistryOptions { Stores = [Bucket with { Endpoint = "s3.example:9000" }] },
        new RegistryOptions { Stores = [Bucket with { Endpoint = "http://s3.example/path" }] },
        new RegistryOptions { Stores = [Bucket with { Prefix = "/x" }] },
        new RegistryOptions { Stores = [Bucket with { PathStyle = false }] },
        new RegistryOptions { Stores = [Bucket with { SecretKey = "" }] },
        new RegistryOptions { Stores = [Bucket with { SecretKeyFile = "also" }] },
        new RegistryOptions { Stores = [Bucket with { Deadline = TimeSpan.Zero }] });

    private static StoreSection Web => new() { Id = "web", Kind = "http", Endpoint = "http://images.example/" };

    private static StoreSection Bucket => new()
    {
        Id = "s3",
        Kind = "s3",
        Endpoint = "http://s3.example:9000",
        Bucket = "images",
        AccessKey = "canary-access",
        SecretKey = "canary-secret",
    };

    [Fact]
    public void Stores_of_every_kind_are_valid() =>
        new RegistryOptions { Stores = [new() { Id = "a", Path = "x" }, Web, Bucket with { Default = true }] }.Validate();

    [Theory]
    [MemberData(nameof(Wrong))]
    public void A_wrong_setting_stops_the_start_with_its_name(RegistryOptions options) =>
        Assert.Matches(
            "^Registry:(?!.*canary)[^\n]*$", Assert.Throws<ConfigurationException>(options.Validate).Message);

    [Fact]
    public void Settings_of_a_store_are_shown_without_their_keys()
    {
        Assert.DoesNotContain("canary", Bucket.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain(
            "canary", $"{new RegistryOptions { Stores = [Bucket] }}", StringComparison.Ordinal);
    }
}
