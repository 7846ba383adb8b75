namespace Registry.Api.Tests;

public sealed class RegistryOptionsTests
{
    [Fact]
    public void The_defaults_are_valid() => new RegistryOptions().Validate();

    public static TheoryData<RegistryOptions> Wrong => new(
        new RegistryOptions { Database = new() { Kind = "oracle" } },
        new RegistryOptions { Database = new() { Kind = "postgres" } },
        new RegistryOptions { Auth = new() { Kind = "magic" } },
        new RegistryOptions { Endpoints = new() { Http = "http://0.0.0.0:9292" } },
        new RegistryOptions { Endpoints = new() { Grpc = "http://images.example:9293" } },
        new RegistryOptions { Endpoints = new() { Metrics = "9294" } },
        new RegistryOptions { Limits = new() { ListMax = 5000 } },
        new RegistryOptions { Uploads = new() { MinimumBytesPerSecond = 0 } },
        new RegistryOptions { Uploads = new() { Lease = TimeSpan.Zero } },
        new RegistryOptions { Uploads = new() { ReapInterval = TimeSpan.Zero } },
        new RegistryOptions { Stores = [new() { Id = "a", Path = "x" }, new() { Id = "a", Path = "y" }] },
        new RegistryOptions { Stores = [new() { Id = "a", Kind = "tape", Path = "x" }] });

    [Theory]
    [MemberData(nameof(Wrong))]
    public void A_wrong_setting_stops_the_start_with_its_name(RegistryOptions options) =>
        Assert.StartsWith(
            "Registry:", Assert.Throws<ConfigurationException>(options.Validate).Message, StringComparison.Ordinal);
}
