using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Registry.Support;

namespace Registry.Api.Tests.Nbd;

/// <summary>Certificates in directories, under the names that QEMU and libnbd look for.</summary>
internal sealed class NbdCertificates : IDisposable
{
    /// <summary>Who the server is.</summary>
    public const string ServerName = "CN=the registry";

    private readonly TempDirectory _root = new();
    private readonly string _otherAuthority;

    /// <summary>Makes an authority, the server's certificate by it, and clients: one by the same authority, one by
    /// another, one without any.</summary>
    public NbdCertificates()
    {
        using var authority = Authority("the authority");
        using var other = Authority("another authority");
        Known = Client("known", authority, authority);
        Unknown = Client("unknown", authority, other);
        Nameless = Client("nameless", authority, signer: null);
        Write(_root.Path, "server", Issue(ServerName, authority, isServer: true));
        File.WriteAllText(AuthorityFile, authority.ExportCertificatePem());
        File.WriteAllText(ClientAuthorityFile, authority.ExportCertificatePem());
        _otherAuthority = other.ExportCertificatePem();
    }

    /// <summary>The directory of a client that the server's authority signed.</summary>
    public string Known { get; }

    /// <summary>The directory of a client that another authority signed.</summary>
    public string Unknown { get; }

    /// <summary>The directory of a client without a certificate.</summary>
    public string Nameless { get; }

    /// <summary>The authority's certificate.</summary>
    public string AuthorityFile => _root.File("ca-cert.pem");

    private string ClientAuthorityFile => _root.File("client-ca-cert.pem");

    /// <summary>The settings of a server that offers TLS.</summary>
    public Dictionary<string, string?> Settings(bool isRequired, bool withClients) => new(NbdApp.NbdSettings())
    {
        ["Registry:Tls:CertificateFile"] = _root.File("server-cert.pem"),
        ["Registry:Tls:KeyFile"] = _root.File("server-key.pem"),
        ["Registry:Nbd:RequireTls"] = $"{isRequired}",
        ["Registry:Nbd:ClientCaFile"] = withClients ? ClientAuthorityFile : "",
    };

    /// <summary>Has another authority issue the server's certificate anew.</summary>
    /// <returns>The directory of a client without a certificate who trusts that authority alone, and its
    /// certificate.</returns>
    public (string Directory, string AuthorityFile) Renew()
    {
        using var authority = Authority("a later authority");
        var directory = Client("renewed", authority, signer: null);
        Write(_root.Path, "server", Issue(ServerName, authority, isServer: true));
        return (directory, Path.Combine(directory, "ca-cert.pem"));
    }

    /// <summary>Has the server let in those whom it did not know, and no others.</summary>
    public void AcceptUnknown() => File.WriteAllText(ClientAuthorityFile, _otherAuthority);

    public void Dispose() => _root.Dispose();

    private string Client(string name, X509Certificate2 authority, X509Certificate2? signer)
    {
        var directory = Directory.CreateDirectory(_root.File(name)).FullName;
        File.WriteAllText(Path.Combine(directory, "ca-cert.pem"), authority.ExportCertificatePem());
        if (signer is not null)
        {
            Write(directory, "client", Issue($"CN={name}", signer, isServer: false));
        }

        return directory;
    }

    private static void Write(string directory, string name, (X509Certificate2 Certificate, ECDsa Key) issued)
    {
        using (issued.Certificate)
        using (issued.Key)
        {
            File.WriteAllText(Path.Combine(directory, $"{name}-cert.pem"), issued.Certificate.ExportCertificatePem());
            File.WriteAllText(Path.Combine(directory, $"{name}-key.pem"), issued.Key.ExportPkcs8PrivateKeyPem());
        }
    }

    private static X509Certificate2 Authority(string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(2));
    }

    private static (X509Certificate2 Certificate, ECDsa Key) Issue(
        string subject, X509Certificate2 authority, bool isServer)
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(subject, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(
            [new Oid(isServer ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2")], critical: false));
        if (isServer)
        {
            var names = new SubjectAlternativeNameBuilder();
            names.AddIpAddress(IPAddress.Loopback);
            request.CertificateExtensions.Add(names.Build());
        }

        var serial = new byte[8];
        RandomNumberGenerator.Fill(serial);
        serial[0] &= 0x7f;
        return (
            request.Create(authority, DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddDays(1), serial),
            key);
    }
}
