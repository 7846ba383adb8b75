using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Options;

namespace Registry.Api.Nbd;

/// <summary>Who this server is to NBD clients, and who they must be.</summary>
internal sealed class NbdTls
{
    private readonly ServerCertificate _certificate;
    private readonly WatchedFiles<X509ChainPolicy>? _clients;

    /// <summary>Reads what the settings name.</summary>
    /// <exception cref="ConfigurationException">It cannot be read, or not be used.</exception>
    public NbdTls(
        IOptions<RegistryOptions> options, ServerCertificate certificate, TimeProvider clock, ILogger<NbdTls> logger)
    {
        _certificate = certificate;
        IsOffered = options.Value.Tls.HasCertificate;
        var file = options.Value.Nbd.ClientCaFile;
        _clients = file.Length > 0
            ? new WatchedFiles<X509ChainPolicy>([file], () => PolicyOf(TlsSection.ReadAll(file)), clock, logger)
            : null;
    }

    /// <summary>Whether there is a certificate.</summary>
    public bool IsOffered { get; }

    /// <summary>What a new connection is secured with, where it is offered.</summary>
    public SslServerAuthenticationOptions Options
    {
        get
        {
            var options = _certificate.Options;
            if (_clients is not null)
            {
                options.ClientCertificateRequired = true;
                options.CertificateChainPolicy = _clients.Content;
            }

            return options;
        }
    }

    private static X509ChainPolicy PolicyOf(X509Certificate2Collection authorities)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck, // nobody is asked over the network at a handshake
            DisableCertificateDownloads = true,
        };
        policy.CustomTrustStore.AddRange(authorities);
        return policy;
    }
}
