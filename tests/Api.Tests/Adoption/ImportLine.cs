using System.Text.Json;
using Registry.Support;

namespace Registry.Api.Tests.Adoption;

/// <summary>The command <c>registry db import-glance</c> with a registry of its own. A process each: the data directory is
/// one process's until it ends.</summary>
internal sealed class ImportLine(TempDirectory directory, Dictionary<string, string?>? settings = null)
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    /// <summary>Settings beside the data directory.</summary>
    public Dictionary<string, string?> Settings { get; } = settings ?? [];

    /// <summary>The data directory.</summary>
    public string Data { get; } = directory.File("data");

    /// <summary>The default store.</summary>
    public string Blobs => Path.Combine(Data, "blobs");

    /// <summary>The settings as environment variables.</summary>
    public Dictionary<string, string> Variables()
    {
        var all = Settings.ToDictionary(s => s.Key.Replace(":", "__", StringComparison.Ordinal), s => s.Value ?? "");
        all["Registry__DataDirectory"] = Data;
        return all;
    }

    /// <summary>Makes the schema.</summary>
    public async Task UpgradeAsync()
    {
        var upgraded = await RunAsync("upgrade");
        Assert.True(upgraded.ExitCode == 0, upgraded.Output + upgraded.Error);
    }

    /// <summary>Imports.</summary>
    public Task<ToolResult> RunAsync(string from, IEnumerable<string> files, params string[] options) =>
        RunAsync(["import-glance", "--from", from, .. files.SelectMany(f => new[] { "--files", f }), .. options]);

    /// <summary>Imports, and returns the word for what was left out, by id, for a run that left something out.</summary>
    public async Task<Dictionary<string, string>> LeftAsync(string from, IEnumerable<string> files, params string[] options)
    {
        var result = await RunAsync(from, files, [.. options, "--output=json"]);
        Assert.True(result.ExitCode is 0 or 2, result.Output + result.Error);
        var left = JsonSerializer.Deserialize<JsonElement>(result.Output).GetProperty("left_out").EnumerateArray()
            .ToDictionary(l => l.GetProperty("name").GetString()!, l => l.GetProperty("code").GetString()!);
        Assert.Equal(result.ExitCode == 2, left.Count > 0);
        return left;
    }

    private Task<ToolResult> RunAsync(params string[] arguments) => ExternalTool.At(RegistryProcess.Executable).RunAsync(
        ["db", .. arguments], Stop, Variables().ToDictionary(v => v.Key, v => (string?)v.Value));
}
