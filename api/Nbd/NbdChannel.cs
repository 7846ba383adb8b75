using System.IO.Pipelines;
using System.Net.Security;

namespace Registry.Api.Nbd;

/// <summary>A connection's bytes: in the clear, and within TLS from when the client asks for it.</summary>
/// <param name="transport">The bytes in the clear.</param>
/// <param name="tls">Who the server is.</param>
internal sealed class NbdChannel(IDuplexPipe transport, NbdTls tls) : IAsyncDisposable
{
    /// <summary>A record of TLS.</summary>
    private const int RecordBytes = 16 << 10;

    private SslStream? _secured;

    /// <summary>What the client sends.</summary>
    public PipeReader Input { get; private set; } = transport.Input;

    /// <summary>What the client is sent.</summary>
    public PipeWriter Output { get; private set; } = transport.Output;

    /// <summary>Whether the bytes are within TLS.</summary>
    public bool IsSecure => _secured is { IsAuthenticated: true };

    /// <summary>Whether they can be.</summary>
    public bool OffersTls => tls.IsOffered;

    /// <summary>Whether the client has sent more than was read.</summary>
    public bool HasMore()
    {
        if (!Input.TryRead(out var read))
        {
            return false;
        }

        Input.AdvanceTo(read.Buffer.Start);
        return !read.Buffer.IsEmpty;
    }

    /// <summary>Goes on within TLS. What was sent in the clear and not read is taken as TLS, never as sent
    /// within.</summary>
    /// <exception cref="IOException">The connection ended.</exception>
    /// <exception cref="System.Security.Authentication.AuthenticationException">It is no TLS, or the client does not
    /// show the certificate that it must.</exception>
    public async ValueTask SecureAsync(CancellationToken cancellationToken)
    {
        _secured = new SslStream(new NbdClearStream(transport));
        await _secured.AuthenticateAsServerAsync(tls.Options, cancellationToken);
        Input = PipeReader.Create(
            _secured, new StreamPipeReaderOptions(bufferSize: RecordBytes, minimumReadSize: 1024, leaveOpen: true));
        Output = PipeWriter.Create(
            _secured, new StreamPipeWriterOptions(minimumBufferSize: RecordBytes, leaveOpen: true));
    }

    /// <summary>Says that nothing follows, to a client that waits for that.</summary>
    /// <param name="patience">How long it may take no notice.</param>
    public async ValueTask EndAsync(TimeSpan patience)
    {
        try
        {
            if (IsSecure)
            {
                await _secured!.ShutdownAsync().WaitAsync(patience);
            }
        }
        catch (Exception e) when (e is IOException or TimeoutException or OperationCanceledException)
        {
            // It has gone without waiting.
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_secured is null)
        {
            return; // the bytes in the clear are the server's
        }

        if (IsSecure)
        {
            await Input.CompleteAsync();
            await Output.CompleteAsync(new IOException("The connection ends.")); // what was not sent is not any more
        }

        await _secured.DisposeAsync();
    }
}
