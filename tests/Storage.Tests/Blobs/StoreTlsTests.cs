using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging.Abstractions;
using Registry.Storage.Blobs;
using Registry.Storage.Blobs.Remote;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Blobs;

/// <summary>Whom a distant store is believed to be.</summary>
public sealed class StoreTlsTests
{
    private static readonly StorePatience _patience = new(TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(10));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_store_is_trusted_by_the_authority_that_is_configured_and_by_no_other()
    {
        using var authority = Authority("the authority");
        using var stranger = Authority("a stranger");
        using var certificate = Issue(authority);
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var serving = ServeAsync(listener, certificate);

        using (var store = Open(listener, authority))
        {
            // It has nothing, and says so over a connection that was accepted.
            Assert.Null(await store.StatAsync(new BlobKey(Images.NewId(), 1), Cancellation));
        }

        foreach (var trusted in new[] { stranger, null })
        {
            using var store = Open(listener, trusted);
            var e = await Assert.ThrowsAsync<StoreUnavailableException>(
                async () => await store.StatAsync(new BlobKey(Images.NewId(), 1), Cancellation));
            Assert.False(e.MayPass);
            Assert.Contains("not trusted", e.Message, StringComparison.Ordinal);
        }

        listener.Stop();
        await serving;
    }

    private static HttpBlobStore Open(TcpListener listener, X509Certificate2? authority) => new(
        "web",
        new Uri($"https://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}/"),
        authority is null ? null : [authority],
        _patience,
        TimeProvider.System,
        NullLogger<HttpBlobStore>.Instance);

    private static async Task ServeAsync(TcpListener listener, X509Certificate2 certificate)
    {
        while (true)
        {
            TcpClient client;
            try
            {
                client = await listener.AcceptTcpClientAsync(Cancellation);
            }
            catch (Exception e) when (e is SocketException or InvalidOperationException)
            {
                return; // the test is over
            }

            try
            {
                await using var tls = new SslStream(client.GetStream());
                await tls.AuthenticateAsServerAsync(certificate);
                using var reader = new StreamReader(tls);
                while (await reader.ReadLineAsync(Cancellation) is { } line)
                {
                    if (line.Length == 0)
                    {
                        await tls.WriteAsync("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"u8.ToArray(), Cancellation);
                    }
                }
            }
            catch (Exception e) when (e is IOException or System.Security.Authentication.AuthenticationException)
            {
                // The client did not trust us, and said so.
            }

            client.Dispose();
        }
    }

    private static X509Certificate2 Authority(string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(2));
    }

    private static X509Certificate2 Issue(X509Certificate2 authority)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=the store", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using var issued = request.Create(
            authority, DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddDays(1), [1, 2, 3]);
        using var withKey = issued.CopyWithPrivateKey(key);
        return X509CertificateLoader.LoadPkcs12(withKey.Export(X509ContentType.Pfx), null);
    }
}
