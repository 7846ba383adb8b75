using System.Net.Http.Json;
using System.Text.Json;
using Registry.Support;

namespace Registry.Api.Tests.Import;

/// <summary>A registry with two directory stores that may download from 127.0.0.1, and what tests do with imports.</summary>
public class ImportLab : IAsyncLifetime
{
    private readonly TempDirectory _directory = new();

    /// <summary>Describes the registry.</summary>
    /// <param name="settings">Further settings.</param>
    protected ImportLab(params (string Name, string Value)[] settings)
    {
        App = new RegistryApp
        {
            Settings =
            {
                ["Registry:Stores:0:Id"] = "one",
                ["Registry:Stores:0:Path"] = _directory.File("one"),
                ["Registry:Stores:1:Id"] = "two",
                ["Registry:Stores:1:Path"] = _directory.File("two"),
                ["Registry:Jobs:Poll"] = "00:00:00.05",
                ["Registry:Outbound:AllowedNetworks"] = "127.0.0.1/32",
                ["Registry:Outbound:AllowedPorts"] = "",
            },
        };
        foreach (var (name, value) in settings)
        {
            App.Settings[name] = value;
        }
    }

    /// <summary>The registry.</summary>
    public RegistryApp App { get; }

    /// <summary>A directory for files.</summary>
    protected TempDirectory Files => _directory;

    public ValueTask InitializeAsync() => App.InitializeAsync();

    public virtual async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        await App.DisposeAsync();
        _directory.Dispose();
    }

    protected static byte[] Bytes(int length, int seed = 1)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    protected async Task<HttpResponseMessage> StageAsync(string id, byte[] content)
    {
        using var body = new ByteArrayContent(content);
        body.Headers.ContentType = new("application/octet-stream");
        return await App.Http.PutAsync($"/v2/images/{id}/stage", body, RegistryApp.Stop);
    }

    /// <summary>Asks for an import and requires a status.</summary>
    protected async Task<string> ImportAsync(string id, string body, int status = 202)
    {
        using var response = await App.SendAsync(HttpMethod.Post, $"/v2/images/{id}/import", body);
        var text = await response.Content.ReadAsStringAsync(RegistryApp.Stop);
        Assert.True(status == (int)response.StatusCode, $"{(int)response.StatusCode}: {text}");
        return text;
    }

    protected Task<string> DownloadAsync(string id, string url, int status = 202) =>
        ImportAsync(id, $$$"""{"method":{"name":"web-download","uri":{{{JsonSerializer.Serialize(url)}}}}}""", status);

    /// <summary>Waits for the end of an image's last import.</summary>
    protected Task<JsonElement> EndAsync(string id) => ImportTask.EndAsync(App.Http, id);

    protected async Task SucceedAsync(string id)
    {
        var task = await EndAsync(id);
        Assert.True(task.GetProperty("status").GetString() == "success", task.ToString());
    }

    /// <summary>Waits for the end of an import that fails.</summary>
    /// <returns>Its message.</returns>
    protected async Task<string> FailAsync(string id)
    {
        var task = await EndAsync(id);
        Assert.True(task.GetProperty("status").GetString() == "failure", task.ToString());
        return task.GetProperty("message").GetString()!;
    }

    protected Task<byte[]> ContentAsync(string id) => App.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop);

    /// <summary>Which stores have files of an image.</summary>
    protected string Stored(string id) => string.Join(',', new[] { "one", "two" }.Where(
        store => Directory.Exists(Path.Combine(_directory.File(store), id))
            && Directory.GetFiles(Path.Combine(_directory.File(store), id), "*", SearchOption.AllDirectories).Length > 0));

    protected async Task<string?> StatusAsync(string id) => (await App.ShowAsync(id)).GetProperty("status").GetString();
}
