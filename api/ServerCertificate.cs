using System.Net.Security;
using Microsoft.Extensions.Options;

namespace Registry.Api;

/// <summary>Who this server is to those that ask for TLS, on all its ports alike: the certificate of Registry:Tls, read again
/// when it changes. Connections keep the one they began with.</summary>
internal sealed class ServerCertificate
{
    private readonly WatchedFiles<SslStreamCertificateContext>? _files;

    /// <summary>Reads it, if there is one.</summary>
    /// <exception cref="ConfigurationException">It cannot be used.</exception>
    public ServerCertificate(IOptions<RegistryOptions> options, TimeProvider clock, ILogger<ServerCertificate> logger)
    {
        var tls = options.Value.Tls;
        _files = tls.HasCertificate
            ? new WatchedFiles<SslStreamCertificateContext>([tls.CertificateFile, tls.KeyFile], tls.Read, clock, logger)
            : null;
    }

    /// <summary>What a new connection is secured with; there is a certificate.</summary>
    public SslServerAuthenticationOptions Options => new() { ServerCertificateContext = _files!.Content };
}
