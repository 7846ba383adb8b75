using System.Text.Json;
using Registry.Api.Tests.Import;

namespace Registry.Api.Tests.Cli;

/// <summary>registry tasks and registry import.</summary>
public sealed class TaskVerbTests : ImportLab
{
    [Fact]
    public async Task A_url_is_imported_and_waited_for()
    {
        await using var source = new WebSource();
        source.Serve(Bytes(300_000));
        var id = await App.CreateAsync(name: "by-name");
        var job = await RunJsonAsync("import", "by-name", "--uri", source.Url, "--stores", "two", "--wait");
        Assert.Equal(("import", "succeeded", id), (Text(job, "kind"), Text(job, "status"), Text(job, "image_id")));
        Assert.Equal(Bytes(300_000), await ContentAsync(id));
        Assert.Equal("two", Stored(id));

        var task = Assert.Single((await RunJsonAsync("tasks")).EnumerateArray());
        Assert.Equal((Text(job, "id"), "success"), (Text(task, "id"), Text(task, "status")));
        var shown = await RunJsonAsync("tasks", "show", Text(task, "id"));
        Assert.Equal(id, Text(shown, "image_id"));
        Assert.Single((await RunJsonAsync("tasks", "list", "--image", id)).EnumerateArray());
        Assert.Empty((await RunJsonAsync("tasks", "list", "--status", "failure")).EnumerateArray());
        Assert.Empty((await RunJsonAsync("tasks", "--type", "location_import")).EnumerateArray());

        var table = await RunAsync(0, "tasks");
        Assert.StartsWith("ID  ", table, StringComparison.Ordinal);
        Assert.Contains("api_image_import  success", table, StringComparison.Ordinal);
        Assert.Contains("image_id          " + id, await RunAsync(0, "tasks", "show", Text(task, "id")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_is_staged_and_imported_and_copied()
    {
        var path = Files.File("disk.raw");
        await File.WriteAllBytesAsync(path, Bytes(2_500_000), RegistryApp.Stop);
        var id = await App.CreateAsync();
        await RunAsync(0, "import", id, "--file", path, "--wait");
        Assert.Equal(Bytes(2_500_000), await ContentAsync(id));
        Assert.Equal("one", Stored(id));
        await RunAsync(0, "import", id, "--copy-to", "two", "--wait");
        Assert.Equal("one,two", Stored(id));
    }

    [Fact]
    public async Task An_import_that_fails_says_why_and_its_exit_code_does()
    {
        await using var source = new WebSource();
        source.Serve(Bytes(1000));
        var id = await App.CreateAsync("qcow2");
        var output = await RunAsync(1, "import", id, "--uri", source.Url, "--wait");
        Assert.Contains("does not match stream data raw", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("say where from")]
    [InlineData("say where from", "--uri", "http://x/", "--copy-to", "two")]
    [InlineData("say where from", "--from-region", "north")]
    [InlineData("say where from", "--uri", "http://x/", "--image-id", "y")]
    [InlineData("Unknown import method name 'glance-download'", "--from-region", "north", "--image-id", "y")]
    [InlineData("The address to download from is not allowed. (400)", "--uri", "file:///etc/passwd")]
    [InlineData("Only images with status active", "--copy-to", "two")]
    public async Task What_makes_no_sense_is_told_in_one_line(string why, params string[] options)
    {
        var id = await App.CreateAsync();
        var result = await RegistryCommandLine.RunAsync(["import", id, .. options, "--url", App.Url.ToString()]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains(why, result.Error, StringComparison.Ordinal);
        Assert.Single(result.Error.TrimEnd().Split('\n'));
    }

    private static string Text(JsonElement element, string name) => element.GetProperty(name).GetString() ?? "";

    private async Task<string> RunAsync(int code, params string[] arguments)
    {
        var result = await RegistryCommandLine.RunAsync([.. arguments, "--url", App.Url.ToString()]);
        Assert.True(code == result.ExitCode, result.Output + result.Error);
        return result.Output;
    }

    private async Task<JsonElement> RunJsonAsync(params string[] arguments) =>
        JsonDocument.Parse(await RunAsync(0, [.. arguments, "--output=json"])).RootElement;
}
