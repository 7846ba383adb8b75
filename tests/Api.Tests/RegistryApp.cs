using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Registry.Storage.Metadata;

namespace Registry.Api.Tests;

/// <summary>A whole registry on real sockets: SQLite and a directory of its own, ports chosen by the system.</summary>
public class RegistryApp : IAsyncLifetime
{
    private readonly string _data = Path.Combine(Path.GetTempPath(), $"registry-api-{Guid.NewGuid():N}");
    private WebApplication? _app;

    /// <summary>Settings beside those that every test has; for an app that is not a fixture.</summary>
    public Dictionary<string, string?> Settings { get; init; } = [];

    /// <summary>The directory of everything it keeps.</summary>
    public string Data => _data;

    /// <summary>The HTTP address.</summary>
    public Uri Url { get; private set; } = null!;

    /// <summary>The metrics page.</summary>
    public Uri Metrics { get; private set; } = null!;

    /// <summary>A client of the HTTP address that asks for JSON.</summary>
    public HttpClient Http { get; private set; } = null!;

    /// <summary>A channel to the gRPC address.</summary>
    public GrpcChannel Grpc { get; private set; } = null!;

    /// <summary>Where the default store keeps blobs.</summary>
    public string Blobs => Path.Combine(_data, "blobs");

    /// <summary>The server's own services.</summary>
    public IServiceProvider Services => _app!.Services;

    public static CancellationToken Stop => TestContext.Current.CancellationToken;

    /// <summary>Skips the test where something that the registry needs is not installed.</summary>
    public virtual void Require()
    {
    }

    public virtual async ValueTask InitializeAsync()
    {
        var builder = WebApplication.CreateBuilder();
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["Registry:DataDirectory"] = _data,
            ["Registry:Endpoints:Http"] = "http://127.0.0.1:0",
            ["Registry:Endpoints:Grpc"] = "http://127.0.0.1:0",
            ["Registry:Endpoints:Metrics"] = "http://127.0.0.1:0",
            ["Registry:Limits:ImageSizeCapBytes"] = "67108864",
            ["Logging:LogLevel:Default"] = "Warning",
        });
        builder.Configuration.AddInMemoryCollection(Settings);
        builder.Configuration.AddInMemoryCollection(await SettingsAsync());
        _app = RegistryServer.Build(builder);
        await _app.StartAsync();
        var addresses = RegistryServer.Addresses(_app.Services);
        Url = new Uri(addresses[0]);
        Metrics = new Uri(new Uri(addresses[2]), "/metrics");
        Http = new HttpClient { BaseAddress = Url };
        Http.DefaultRequestHeaders.Add("Accept", "application/json");
        Grpc = GrpcChannel.ForAddress(addresses[1]);
    }

    public virtual async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        if (_app is null)
        {
            return; // it was not needed
        }

        Http.Dispose();
        Grpc.Dispose();
        await _app.StopAsync(CancellationToken.None);
        await _app.DisposeAsync();
        Directory.Delete(_data, recursive: true);
    }

    /// <summary>Registers an image and returns its id.</summary>
    public async Task<string> CreateAsync(string diskFormat = "raw", string name = "", string extra = "")
    {
        var body = $$"""{"name":"{{name}}","disk_format":"{{diskFormat}}","container_format":"bare"{{extra}}}""";
        using var response = await SendAsync(HttpMethod.Post, "/v2/images", body);
        Assert.Equal(201, (int)response.StatusCode);
        return (await JsonAsync(response)).GetProperty("id").GetString()!;
    }

    /// <summary>Registers an image and uploads its bytes.</summary>
    public async Task<string> UploadAsync(byte[] content, string diskFormat = "raw", string name = "")
    {
        var id = await CreateAsync(diskFormat, name);
        using var response = await PutAsync(id, content);
        Assert.Equal(204, (int)response.StatusCode);
        return id;
    }

    /// <summary>Uploads bytes to an image.</summary>
    /// <param name="id">The image.</param>
    /// <param name="content">The bytes.</param>
    /// <param name="store">The store to name; null for none.</param>
    public async Task<HttpResponseMessage> PutAsync(string id, byte[] content, string? store = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, $"/v2/images/{id}/file");
        request.Content = new ByteArrayContent(content);
        request.Content.Headers.ContentType = new("application/octet-stream");
        if (store is not null)
        {
            request.Headers.Add("X-Image-Meta-Store", store);
        }

        return await Http.SendAsync(request, Stop);
    }

    /// <summary>Sends a request with an optional text body.</summary>
    public async Task<HttpResponseMessage> SendAsync(
        HttpMethod method,
        string path,
        string? body = null,
        string mediaType = "application/json",
        string? accept = null)
    {
        using var request = new HttpRequestMessage(method, path);
        if (body is not null)
        {
            request.Content = new StringContent(body, Encoding.UTF8);
            request.Content.Headers.ContentType = new(mediaType);
        }

        if (accept is not null)
        {
            request.Headers.TryAddWithoutValidation("Accept", accept);
        }

        return await Http.SendAsync(request, Stop);
    }

    /// <summary>Sends a v2.1 patch.</summary>
    public Task<HttpResponseMessage> PatchAsync(string id, string patch) =>
        SendAsync(HttpMethod.Patch, $"/v2/images/{id}", patch, Registry.Api.Images.ImagePatch.MediaType21);

    /// <summary>Shows an image.</summary>
    public async Task<JsonElement> ShowAsync(string id) =>
        await Http.GetFromJsonAsync<JsonElement>($"/v2/images/{id}", Stop);

    /// <summary>Reads a JSON answer.</summary>
    public static async Task<JsonElement> JsonAsync(HttpResponseMessage response) =>
        await response.Content.ReadFromJsonAsync<JsonElement>(Stop);

    /// <summary>Names of all that is in the store.</summary>
    public virtual async Task<IReadOnlyList<string>> StoredFilesAsync()
    {
        await Task.CompletedTask;
        return Directory.Exists(Blobs) ? Directory.GetFiles(Blobs, "*", SearchOption.AllDirectories) : [];
    }

    /// <summary>Damages an image's stored bytes.</summary>
    public virtual async Task FlipByteAsync(string id, int offset)
    {
        var file = (await StoredFilesAsync()).Single(
            f => f.Contains(id, StringComparison.Ordinal) && f.EndsWith("data", StringComparison.Ordinal));
        var content = await File.ReadAllBytesAsync(file, Stop);
        content[offset] ^= 1;
        await File.WriteAllBytesAsync(file, content, Stop);
    }

    /// <summary>Of each place where an image's bytes are, in the order of the stores' ids, whether they are known to be
    /// damaged.</summary>
    public async Task<IReadOnlyList<bool>> DamagesAsync(string id)
    {
        await using var db = await Services.GetRequiredService<IDbContextFactory<RegistryDb>>()
            .CreateDbContextAsync(Stop);
        return await db.Locations.Where(l => l.ImageId == id).OrderBy(l => l.StoreId)
            .Select(l => l.DamagedAt != null).ToListAsync(Stop);
    }

    /// <summary>What to set otherwise.</summary>
    protected virtual Task<Dictionary<string, string?>> SettingsAsync() =>
        Task.FromResult(new Dictionary<string, string?>());
}
