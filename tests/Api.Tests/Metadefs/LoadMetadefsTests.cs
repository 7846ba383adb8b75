using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Registry.Api.Cli;
using Registry.Api.Metadefs;
using Registry.Api.Tests.Cli;
using Registry.Support;

namespace Registry.Api.Tests.Metadefs;

public sealed class LoadMetadefsTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    [Fact]
    public async Task What_comes_with_the_program_is_what_users_look_for()
    {
        var catalogue = MetadefLoader.Catalogue();
        var loader = app.Services.GetRequiredService<MetadefLoader>();
        foreach (var item in catalogue)
        {
            Assert.Equal("loaded", await loader.LoadAsync(item, LoadMode.Keep, RegistryApp.Stop));
            Assert.Equal("there already", await loader.LoadAsync(item, LoadMode.Keep, RegistryApp.Stop));
            var shown = await ShowAsync(item.Draft.Settings.Name);
            Assert.Equal("public", shown.GetProperty("visibility").GetString());
            Assert.True(shown.GetProperty("protected").GetBoolean());
        }

        foreach (var (ns, type, property) in new[]
        {
            ("OS::Compute::CPUPinning", "OS::Nova::Flavor", "hw:cpu_policy"),
            ("OS::Compute::CPUPinning", "OS::Glance::Image", "hw_cpu_policy"),
            ("OS::Compute::Watchdog", "OS::Glance::Image", "hw_watchdog_action"),
            ("OS::Compute::GuestMemoryBacking", "OS::Nova::Flavor", "hw:mem_page_size"),
            ("OS::Compute::LibvirtImage", "OS::Glance::Image", "hw_disk_bus"),
            ("OS::Compute::LibvirtImage", "OS::Cinder::Volume", "hw_vif_model"),
            ("OS::OperatingSystem", "OS::Glance::Image", "os_distro"),
            ("OS::Glance::CommonImageProperties", "OS::Glance::Image", "architecture"),
        })
        {
            var shown = await ShowAsync($"{ns}?resource_type={type}");
            Assert.True(shown.GetProperty("properties").TryGetProperty(property, out _), property);
        }
    }

    [Fact]
    public async Task What_is_there_is_kept_merged_or_overwritten()
    {
        using var directory = new TempDirectory();
        var loader = app.Services.GetRequiredService<MetadefLoader>();
        await LoadAsync("old", "p", LoadMode.Keep);
        await LoadAsync("new", "q", LoadMode.Keep);
        Assert.Equal("old: p=old", await TextAsync());
        await LoadAsync("new", "q", LoadMode.Merge);
        Assert.Equal("old: p=old q=new", await TextAsync());
        await LoadAsync("newer", "q", LoadMode.MergeNew);
        Assert.Equal("newer: p=old q=newer", await TextAsync());
        await LoadAsync("last", "r", LoadMode.Overwrite);
        Assert.Equal("last: r=last", await TextAsync());

        async Task LoadAsync(string title, string property, LoadMode mode)
        {
            await File.WriteAllTextAsync(
                directory.File("a.json"),
                $$"""
                {
                  "namespace": "NS", "display_name": "{{title}}", "protected": true, "self": "/ignored",
                  "created_at": "2014-01-01T00:00:00Z", "tags": [{"name": "t"}],
                  "objects": [{"name": "o", "description": "{{title}}"}],
                  "resource_type_associations": [{"name": "T", "created_at": "2014-01-01T00:00:00Z"}],
                  "properties": {"{{property}}": {"title": "{{title}}", "type": "string"} }
                }
                """,
                RegistryApp.Stop);
            await loader.LoadAsync(Assert.Single(MetadefLoader.Folder(directory.Path)), mode, RegistryApp.Stop);
        }

        async Task<string> TextAsync()
        {
            var shown = await ShowAsync("NS");
            Assert.Equal("admin", shown.GetProperty("owner").GetString());
            var properties = shown.GetProperty("properties").EnumerateObject()
                .Select(p => $"{p.Name}={p.Value.GetProperty("title").GetString()}");
            return $"{shown.GetProperty("display_name").GetString()}: {string.Join(' ', properties)}";
        }
    }

    [Theory]
    [InlineData("{", "a.json: ")]
    [InlineData("""{"namespace":"x","colour":1}""", "a.json: A namespace has no attribute 'colour'.")]
    [InlineData("""{"namespace":"x","tags":[{"name":"a"},{"name":"A"}]}""", "a.json: Namespace x has tag A already.")]
    public async Task A_file_that_cannot_be_used_is_named(string text, string expected)
    {
        using var directory = new TempDirectory();
        await File.WriteAllTextAsync(directory.File("a.json"), text, RegistryApp.Stop);
        var refusal = Assert.Throws<CommandException>(() => MetadefLoader.Folder(directory.Path));
        Assert.StartsWith(expected, refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_command_brings_the_embedded_database_up_to_date_before_it_loads()
    {
        using var directory = new TempDirectory();
        var config = directory.File("config.json");
        await File.WriteAllTextAsync(
            config, JsonSerializer.Serialize(new { Registry = new { DataDirectory = directory.File("data") } }),
            RegistryApp.Stop);

        var loaded = await RunAsync("load-metadefs");
        Assert.Equal(0, loaded.ExitCode);
        Assert.Contains("OS::Compute::Watchdog: loaded", loaded.Output, StringComparison.Ordinal);
        var again = await RunAsync("load-metadefs", "--merge", "--prefer-new");
        Assert.Contains("OS::Compute::Watchdog: merged", again.Output, StringComparison.Ordinal);

        // A process each: the data directory is one process's until it ends.
        Task<ToolResult> RunAsync(params string[] arguments) => ExternalTool.At(RegistryProcess.Executable).RunAsync(
            ["db", .. arguments, "--config", config], RegistryApp.Stop);
    }

    [Theory]
    [InlineData("--prefer-new", "--prefer-new goes with --merge")]
    [InlineData("--merge --overwrite", "--overwrite with neither")]
    [InlineData("--path /nowhere/at/all", "There is no folder /nowhere/at/all")]
    public async Task Options_that_make_no_sense_are_refused(string options, string expected)
    {
        var refused = await RegistryCommandLine.RunAsync(["db", "load-metadefs", .. options.Split(' ')]);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains(expected, refused.Error, StringComparison.Ordinal);
    }

    private async Task<JsonElement> ShowAsync(string name)
    {
        using var response = await app.SendAsync(HttpMethod.Get, $"/v2/metadefs/namespaces/{name}");
        Assert.Equal(200, (int)response.StatusCode);
        return await RegistryApp.JsonAsync(response);
    }
}
