using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Registry.Api.Tests.Nbd;

namespace Registry.Api.Tests.Fairness;

/// <summary>A registry behind a proxy that says of which project each caller is.</summary>
public sealed class ProjectsApp : NbdApp
{
    /// <summary>A client of a project.</summary>
    public HttpClient As(string project, string role = "member")
    {
        var http = new HttpClient { BaseAddress = Url };
        http.DefaultRequestHeaders.Add("Accept", "application/json");
        foreach (var (header, value) in NbdTicketTests.ProxyApp.Identity(project, role))
        {
            http.DefaultRequestHeaders.Add(header, value);
        }

        return http;
    }

    /// <summary>The head of a request of a project, as it goes over the wire, without the last line end.</summary>
    public string Head(string project, string line)
    {
        var head = new StringBuilder($"{line} HTTP/1.1\r\nHost: {Url.Authority}\r\n");
        foreach (var (header, value) in NbdTicketTests.ProxyApp.Identity(project, "member"))
        {
            head.Append($"{header}: {value}\r\n");
        }

        return head.ToString();
    }

    /// <summary>Registers an image for a project.</summary>
    public static async Task<string> CreateAsync(HttpClient http, string format = "raw", string visibility = "private")
    {
        using var response = await http.PostAsJsonAsync(
            "/v2/images",
            new { name = "n", disk_format = format, container_format = "bare", visibility }, Stop);
        Assert.Equal(201, (int)response.StatusCode);
        return (await JsonAsync(response)).GetProperty("id").GetString()!;
    }

    /// <summary>Uploads bytes.</summary>
    public static async Task<HttpResponseMessage> PutAsync(
        HttpClient http, string id, byte[] content, string kind = "file")
    {
        using var body = new ByteArrayContent(content);
        body.Headers.ContentType = new("application/octet-stream");
        return await http.PutAsync($"/v2/images/{id}/{kind}", body, Stop);
    }

    /// <summary>Registers an image and uploads its bytes.</summary>
    public static async Task<string> UploadAsync(HttpClient http, byte[] content, string format = "raw")
    {
        var id = await CreateAsync(http, format);
        using var response = await PutAsync(http, id, content);
        Assert.Equal(204, (int)response.StatusCode);
        return id;
    }

    /// <summary>Starts an import.</summary>
    public static async Task ImportAsync(HttpClient http, string id, string method)
    {
        using var body = new StringContent($$"""{"method":{{method}}}""", Encoding.UTF8, "application/json");
        using var response = await http.PostAsync($"/v2/images/{id}/import", body, Stop);
        Assert.Equal(202, (int)response.StatusCode);
    }

    /// <summary>An image's status.</summary>
    public static async Task<string> StatusAsync(HttpClient http, string id) =>
        (await http.GetFromJsonAsync<JsonElement>($"/v2/images/{id}", Stop)).GetProperty("status").GetString()!;

    protected override Task<Dictionary<string, string?>> SettingsAsync() => Task.FromResult(
        new Dictionary<string, string?>(NbdSettings())
        {
            ["Registry:Auth:Kind"] = "proxy",
            ["Registry:Jobs:Poll"] = "00:00:00.05",
            ["Registry:Outbound:AllowedNetworks"] = "127.0.0.1/32",
            ["Registry:Outbound:AllowedPorts"] = "",
        });
}
