using System.Security.Cryptography;
using Registry.Api.Tests.Nbd;
using Registry.Support;
using Xunit;

namespace Registry.Api.Tests.Cli;

/// <summary>The API and gRPC within TLS.</summary>
public sealed class TlsTests : IAsyncLifetime
{
    private readonly NbdCertificates _certificates = new();
    private readonly TempDirectory _directory = new();
    private readonly ExternalTool _registry = ExternalTool.At(RegistryProcess.Executable);
    private RegistryApp _app = null!;

    public async ValueTask InitializeAsync()
    {
        var settings = _certificates.Settings(isRequired: false, withClients: false);
        settings.Remove("Registry:Endpoints:Nbd");
        settings["Registry:Endpoints:Http"] = "https://127.0.0.1:0";
        settings["Registry:Endpoints:Grpc"] = "https://127.0.0.1:0";
        _app = new RegistryApp { Settings = settings };
        await _app.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _certificates.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task A_client_that_trusts_the_authority_pushes_and_provisions()
    {
        Assert.Equal(Uri.UriSchemeHttps, _app.Url.Scheme);
        var disk = RandomNumberGenerator.GetBytes(3 << 20);
        var (file, target) = (_directory.File("disk"), _directory.File("target"));
        await File.WriteAllBytesAsync(file, disk, RegistryApp.Stop);
        var pushed = await RunAsync(_certificates.AuthorityFile, "push", file, "--name", "secured");
        Assert.True(pushed.ExitCode == 0, pushed.Error);
        var provisioned = await RunAsync(_certificates.AuthorityFile, "provision", "secured", "--to", target);
        Assert.True(provisioned.ExitCode == 0, provisioned.Error);
        Assert.Equal(disk, await File.ReadAllBytesAsync(target, RegistryApp.Stop));
    }

    [Fact]
    public async Task Who_does_not_trust_it_is_told_why()
    {
        var result = await RunAsync(authorities: null, "images");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("certificate is invalid", result.Error, StringComparison.Ordinal);
        Assert.Single(result.Error.Trim().Split('\n'));
    }

    [Fact]
    public async Task In_the_clear_nothing_is_answered()
    {
        using var http = new HttpClient();
        await Assert.ThrowsAsync<HttpRequestException>(
            () => http.GetAsync(new UriBuilder(_app.Url) { Scheme = Uri.UriSchemeHttp }.Uri, RegistryApp.Stop));
    }

    private Task<ToolResult> RunAsync(string? authorities, params string[] arguments) => _registry.RunAsync(
        [.. arguments, "--url", $"{_app.Url}"], RegistryApp.Stop,
        new Dictionary<string, string?> { ["SSL_CERT_FILE"] = authorities });
}
