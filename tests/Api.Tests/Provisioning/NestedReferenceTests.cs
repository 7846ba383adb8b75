using Registry.Support;

namespace Registry.Api.Tests.Provisioning;

/// <summary>A disk that is itself a disk image which refers to another file is named as such, and can be refused.</summary>
public sealed class NestedReferenceTests : IDisposable
{
    private const string Property = "os_glance_nested_reference";
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("qcow2", "qcow2", "backing_file", "qcow2 backing_file_refused")]
    [InlineData("vmdk", "qcow2", "backing_file", "qcow2 backing_file_refused")]
    [InlineData("vdi", "qcow2", "data_file", "qcow2 data_file_refused")]
    [InlineData("qcow2", "qcow2", "none", null)]
    [InlineData("qcow2", "raw", "none", null)]
    public async Task The_image_says_so_and_its_owner_cannot_change_that(
        string outer, string inner, string reference, string? expected)
    {
        await using var app = new RegistryApp();
        await app.InitializeAsync();
        var id = await UploadAsync(app, outer, inner, reference);
        var image = await app.ShowAsync(id);
        Assert.Equal(expected, image.TryGetProperty(Property, out var found) ? found.GetString() : null);
        foreach (var patch in (string[])[
            $$"""[{"op":"add","path":"/{{Property}}","value":"nothing"}]""", $$"""[{"op":"remove","path":"/{{Property}}"}]""",
        ])
        {
            using var refused = await app.PatchAsync(id, patch);
            Assert.True((int)refused.StatusCode is 403 or 409 or 404, $"{refused.StatusCode}");
        }

        using var disk = await app.Http.GetAsync($"/registry/v1/images/{id}/disk", RegistryApp.Stop);
        Assert.Equal(200, (int)disk.StatusCode);
        var shown = await Cli.RegistryCommandLine.RunAsync("show", id, "--url", app.Url.ToString());
        Assert.Equal(0, shown.ExitCode);
        Assert.Equal(expected is not null, shown.Error.Contains("refers to another file", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("qcow2", "backing_file", 409)]
    [InlineData("vmdk", "data_file", 409)]
    [InlineData("qcow2", "none", 200)]
    public async Task A_registry_can_refuse_to_provision_it(string outer, string reference, int status)
    {
        await using var app = new RegistryApp { Settings = { ["Registry:Provisioning:NestedReferences"] = "refuse" } };
        await app.InitializeAsync();
        var id = await UploadAsync(app, outer, "qcow2", reference);
        foreach (var view in (string[])["disk", "disk?format=qcow2", "extents", "map"])
        {
            using var response = await app.Http.GetAsync($"/registry/v1/images/{id}/{view}", RegistryApp.Stop);
            Assert.True(status == (int)response.StatusCode, $"{view}: {response.StatusCode}");
        }

        using var ordered = await app.SendAsync(
            HttpMethod.Post, "/registry/v1/provisions", $$"""{"image_id":"{{id}}","name":"clone"}""");
        Assert.Equal(status == 200 ? 202 : 409, (int)ordered.StatusCode);
        using var file = await app.Http.GetAsync($"/v2/images/{id}/file", RegistryApp.Stop);
        Assert.Equal(200, (int)file.StatusCode); // the bytes as they were uploaded
    }

    private async Task<string> UploadAsync(RegistryApp app, string outer, string inner, string reference)
    {
        var (nested, disk) = (_directory.File("nested"), _directory.File("disk"));
        await RunAsync("create", "-q", "-f", "raw", _directory.File("other"), "1M");
        string[] options = reference switch
        {
            "backing_file" => ["-b", _directory.File("other"), "-F", "raw"],
            "data_file" => ["-o", $"data_file={_directory.File("data")}"],
            _ => [],
        };
        await RunAsync(["create", "-q", "-f", inner, .. options, nested, "1M"]);
        await RunAsync("convert", "-f", "raw", "-O", outer, nested, disk);
        return await app.UploadAsync(await File.ReadAllBytesAsync(disk, RegistryApp.Stop), outer);
    }

    private static async Task RunAsync(params string[] arguments)
    {
        var result = await ExternalTool.Require("qemu-img").RunAsync(arguments, RegistryApp.Stop);
        Assert.True(result.ExitCode == 0, result.Error);
    }
}
