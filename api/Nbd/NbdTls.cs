using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace Registry.Api.Nbd;

/// <summary>Who this server is to NBD clients, and who they must be.</summary>
internal sealed class NbdTls
{
    private NbdTls(SslServerAuthenticationOptions options) => Options = options;

    /// <summary>What a connection is secured with.</summary>
    public SslServerAuthenticationOptions Options { get; }

    /// <summary>Reads what the settings name.</summary>
    /// <returns>Null where there is no certificate.</returns>
    /// <exception cref="ConfigurationException">It cannot be read, or not be used.</exception>
    public static NbdTls? Read(RegistryOptions settings)
    {
        if (!settings.Tls.HasCertificate)
        {
            return null;
        }

        var options = new SslServerAuthenticationOptions { ServerCertificateContext = settings.Tls.Read() };
        if (settings.Nbd.ClientCaFile.Length > 0)
        {
            options.ClientCertificateRequired = true;
            options.CertificateChainPolicy = PolicyOf(TlsSection.ReadAll(settings.Nbd.ClientCaFile));
        }

        return new NbdTls(options);
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
