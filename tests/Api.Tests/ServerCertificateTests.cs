using System.Diagnostics;
using System.Net.Http.Json;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Grpc.Net.Client;
using Registry.Api.Tests.Nbd;
using Registry.Protos.V1;
using Registry.Support;

namespace Registry.Api.Tests;

/// <summary>A certificate that replaces another is shown on all ports, without a restart.</summary>
public sealed class ServerCertificateTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private readonly NbdCertificates _certificates = new();

    public void Dispose() => _certificates.Dispose();

    [Fact]
    public async Task A_renewed_certificate_is_shown_to_those_who_connect_from_then_on()
    {
        await using var app = new SecureApp(_certificates.Settings(isRequired: true, withClients: false));
        await app.InitializeAsync();
        var id = await app.AddAsync(_certificates.AuthorityFile);
        var before = (_certificates.Nameless, _certificates.AuthorityFile);
        await RequireAsync(app, id, before);
        using var open = await NbdWire.ConnectAsync(app.Port);
        await open.SecureAsync();

        var after = _certificates.Renew();
        var began = Stopwatch.GetTimestamp();
        while (!await IsShownAsync(app, id, after.Directory))
        {
            Assert.True(Stopwatch.GetElapsedTime(began) < Patience, "the new certificate is not shown");
        }

        await RequireAsync(app, id, after);
        Assert.False(await IsShownAsync(app, id, before.Nameless));
        using var old = Client(before.AuthorityFile);
        await Assert.ThrowsAsync<HttpRequestException>(() => old.GetAsync(app.Url, RegistryApp.Stop));

        // Who was there before goes on.
        Assert.Equal(NbdWire.Ack, (await open.AskAsync(NbdWire.Go, [.. NbdWire.Text(id), 0, 0]))[^1].Type);
        Assert.Equal(new byte[4096], await open.ReadAsync(0, 4096));
    }

    [Fact]
    public async Task Authorities_of_clients_are_read_again_too()
    {
        await using var app = new SecureApp(_certificates.Settings(isRequired: true, withClients: true));
        await app.InitializeAsync();
        var id = await app.AddAsync(_certificates.AuthorityFile);
        Assert.True(await IsShownAsync(app, id, _certificates.Known));
        Assert.False(await IsShownAsync(app, id, _certificates.Unknown));

        _certificates.AcceptUnknown();
        var began = Stopwatch.GetTimestamp();
        while (!await IsShownAsync(app, id, _certificates.Unknown))
        {
            Assert.True(Stopwatch.GetElapsedTime(began) < Patience, "the new authority is not known");
        }

        Assert.False(await IsShownAsync(app, id, _certificates.Known));
    }

    // HTTP, gRPC and NBD each show a certificate that this authority has signed.
    private static async Task RequireAsync(SecureApp app, string id, (string Directory, string AuthorityFile) trusted)
    {
        Assert.True(await IsShownAsync(app, id, trusted.Directory));
        using var http = Client(trusted.AuthorityFile);
        using var shown = await http.GetAsync($"{app.Url}v2/images/{id}", RegistryApp.Stop);
        Assert.Equal(200, (int)shown.StatusCode);
        Assert.Equal(new Version(1, 1), shown.Version);
        using var handler = Handler(trusted.AuthorityFile);
        using var channel = GrpcChannel.ForAddress(app.GrpcUrl, new() { HttpHandler = handler });
        var image = await new Protos.V1.Images.ImagesClient(channel).GetAsync(
            new GetImageRequest { Id = id }, cancellationToken: RegistryApp.Stop);
        Assert.Equal(id, image.Id);
    }

    private static async Task<bool> IsShownAsync(NbdApp app, string id, string directory) =>
        (await ExternalTool.Require("nbdinfo").RunAsync(
            ["--size", $"nbds://127.0.0.1:{app.Port}/{id}?tls-certificates={directory}"], RegistryApp.Stop)).ExitCode == 0;

    private static HttpClient Client(string authorityFile) => new(Handler(authorityFile));

    private static SocketsHttpHandler Handler(string authorityFile)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
        };
        policy.CustomTrustStore.ImportFromPemFile(authorityFile);
        return new SocketsHttpHandler { SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy } };
    }

    private sealed class SecureApp(Dictionary<string, string?> settings) : NbdApp
    {
        /// <summary>The gRPC address.</summary>
        public string GrpcUrl => RegistryServer.Addresses(Services)[1];

        /// <summary>Uploads an image of zeroes.</summary>
        public async Task<string> AddAsync(string authorityFile)
        {
            using var http = Client(authorityFile);
            using var created = await http.PostAsync(
                new Uri(Url, "/v2/images"),
                JsonContent.Create(new { disk_format = "raw", container_format = "bare" }),
                Stop);
            var id = (await JsonAsync(created)).GetProperty("id").GetString()!;
            using var content = new ByteArrayContent(new byte[1 << 20])
            {
                Headers = { ContentType = new("application/octet-stream") },
            };
            using var uploaded = await http.PutAsync(new Uri(Url, $"/v2/images/{id}/file"), content, Stop);
            Assert.Equal(204, (int)uploaded.StatusCode);
            return id;
        }

        protected override Task<Dictionary<string, string?>> SettingsAsync() =>
            Task.FromResult(new Dictionary<string, string?>(settings)
            {
                ["Registry:Endpoints:Http"] = "https://127.0.0.1:0",
                ["Registry:Endpoints:Grpc"] = "https://127.0.0.1:0",
            });
    }
}
