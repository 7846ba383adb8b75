using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Registry.Api;

/// <summary>Registry:Tls: who this server is to those that ask for TLS, on any of its ports.</summary>
public sealed record TlsSection
{
    /// <summary>File of the server's certificate (PEM), with those between it and the root; empty for no TLS. Read
    /// again when it or its key changes.</summary>
    public string CertificateFile { get; init; } = "";

    /// <summary>File of its private key (PEM), not encrypted.</summary>
    public string KeyFile { get; init; } = "";

    /// <summary>Whether there is a certificate.</summary>
    internal bool HasCertificate => CertificateFile.Length > 0;

    /// <summary>Checks that the certificate can be used.</summary>
    /// <exception cref="ConfigurationException">It cannot.</exception>
    public void Validate()
    {
        RegistryOptions.Require(
            HasCertificate == KeyFile.Length > 0, "Registry:Tls:KeyFile", KeyFile,
            "set where CertificateFile is, and only there");
        if (HasCertificate)
        {
            Read();
        }
    }

    /// <summary>Reads the certificate, its key, and what is between it and the root.</summary>
    /// <exception cref="ConfigurationException">They cannot be read, or not be used.</exception>
    internal SslStreamCertificateContext Read() => Read(() => SslStreamCertificateContext.Create(
        X509Certificate2.CreateFromPemFile(CertificateFile, KeyFile), ReadAll(CertificateFile), offline: true));

    /// <summary>Reads all certificates of a file.</summary>
    /// <exception cref="ConfigurationException">It cannot be read, or holds none.</exception>
    internal static X509Certificate2Collection ReadAll(string path) => Read(() =>
    {
        var found = new X509Certificate2Collection();
        found.ImportFromPemFile(path);
        return found.Count > 0 ? found : throw new ConfigurationException(
            $"Registry:Tls or Registry:Nbd: '{path}' holds no certificate.");
    });

    private static T Read<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is CryptographicException or IOException or UnauthorizedAccessException
            or ArgumentException)
        {
            throw new ConfigurationException($"Registry:Tls or Registry:Nbd: a certificate cannot be used: {e.Message}");
        }
    }
}
