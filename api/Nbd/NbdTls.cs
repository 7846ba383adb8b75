using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Registry.Api.Nbd;

/// <summary>Who this server is to NBD clients, and who they must be.</summary>
internal sealed class NbdTls
{
    private NbdTls(SslServerAuthenticationOptions options) => Options = options;

    /// <summary>What a connection is secured with.</summary>
    public SslServerAuthenticationOptions Options { get; }

    /// <summary>Reads what the settings name.</summary>
    /// <returns>Null where they name nothing.</returns>
    /// <exception cref="ConfigurationException">It cannot be read, or not be used.</exception>
    public static NbdTls? Read(NbdSection settings)
    {
        if (!settings.HasTls)
        {
            return null;
        }

        try
        {
            var own = X509Certificate2.CreateFromPemFile(settings.CertificateFile, settings.KeyFile);
            var options = new SslServerAuthenticationOptions
            {
                ServerCertificateContext = SslStreamCertificateContext.Create(
                    own, ReadAll(settings.CertificateFile), offline: true),
            };
            if (settings.ClientCaFile.Length > 0)
            {
                options.ClientCertificateRequired = true;
                options.CertificateChainPolicy = PolicyOf(ReadAll(settings.ClientCaFile));
            }

            return new NbdTls(options);
        }
        catch (Exception e) when (e is CryptographicException or IOException or UnauthorizedAccessException
            or ArgumentException)
        {
            throw new ConfigurationException($"Registry:Nbd: a certificate or its key cannot be used: {e.Message}");
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

    private static X509Certificate2Collection ReadAll(string path)
    {
        var found = new X509Certificate2Collection();
        found.ImportFromPemFile(path);
        return found.Count > 0
            ? found
            : throw new ConfigurationException($"Registry:Nbd: '{path}' holds no certificate.");
    }
}
