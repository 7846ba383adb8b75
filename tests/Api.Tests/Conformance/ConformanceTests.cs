using Registry.Support;

namespace Registry.Api.Tests.Conformance;

/// <summary>OpenStack's own suites, as Debian packages them, against a registry.</summary>
public sealed class ConformanceTests(ConformanceLab lab) : IClassFixture<ConformanceLab>
{
    private const string None = "^$";

    // They give an image bytes by hashes that are made up, or a second address beside the first. The registry takes the
    // bytes of an address over and verifies them, so it refuses both.
    private const string Unverified =
        "ImageLocationsTest.*(test_set_location_with_hash|test_replace_location|test_delete_locations)";

    // It looks for a headline of Python's that has another name since Python 3.10.
    private const string Headline = "test_help$";

    [Fact]
    public Task Tempest_passes() => PassAsync("tempest/test_discover", @"^tempest\.api\.image\.v2", Unverified, 60);

    [Fact]
    public Task Tempest_of_the_personas_passes() => TestRun.IsFull
        ? PassAsync("tempest/test_discover", "^glance_tempest_plugin", None, 110)
        : PassAsync("tempest/test_discover", @"^glance_tempest_plugin\..*test_project_member", None, 30);

    [Fact]
    public Task The_openstack_command_passes() =>
        PassAsync("openstackclient/tests/functional", "image.v2", None, 5);

    [Fact]
    public Task The_sdk_passes() => PassAsync("openstack/tests/functional/image", "image.v2", None, 5);

    [Fact]
    public Task The_sdk_with_its_cloud_layer_passes() =>
        PassAsync("openstack/tests/functional/cloud", @"cloud\.test_image\.", None, 7);

    [Fact]
    public Task The_glance_command_passes() =>
        PassAsync("glanceclient/tests/functional", "functional.v2", Headline, 5);

    private async Task PassAsync(string discovery, string tests, string except, int least)
    {
        PythonServer.Require(
            ("tempest", PythonServer.Has("tempest/test_discover")),
            ("glance-tempest-plugin", PythonServer.Has("glance_tempest_plugin")),
            ("python3-openstackclient", PythonServer.Has("openstackclient")));
        var said = await lab.PassAsync(discovery, tests, except);
        TestContext.Current.TestOutputHelper?.WriteLine(said);
        var passed = said.Split('\n').Count(line => line.EndsWith("... ok", StringComparison.Ordinal));
        Assert.InRange(passed, least, int.MaxValue);
    }
}
