using System.IO.Pipelines;

namespace Registry.Api.ImageData;

/// <summary>The bytes that a client sends, from HTTP or gRPC.</summary>
public interface IUploadBody
{
    /// <summary>Length in bytes as the client stated it; null when it did not.</summary>
    long? Length { get; }

    /// <summary>SHA-512 of the bytes as the client stated it, lower-case hexadecimal; null when it did not. An upload of
    /// other bytes is refused.</summary>
    string? Sha512 => null;

    /// <summary>Network address of the client; null where there is none, or where it is not told apart.</summary>
    string? Address => null;

    /// <summary>Waits for the first byte or the end, without taking anything. Called at most once, before
    /// <see cref="FillAsync"/>.</summary>
    /// <exception cref="IOException">The client went away.</exception>
    ValueTask BeginAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;

    /// <summary>Fills a buffer with the next bytes.</summary>
    /// <returns>Bytes filled: the whole buffer, or less only at the end; 0 at the end.</returns>
    /// <exception cref="IOException">The client went away.</exception>
    ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken);
}

/// <summary>The body of an HTTP request.</summary>
internal sealed class HttpUploadBody(HttpContext context, long? length, string? sha512 = null) : IUploadBody
{
    /// <inheritdoc/>
    public long? Length => length;

    /// <inheritdoc/>
    public string? Sha512 => sha512;

    /// <inheritdoc/>
    public string? Address => context.Connection.RemoteIpAddress?.ToString();

    /// <inheritdoc/>
    public async ValueTask BeginAsync(CancellationToken cancellationToken)
    {
        var reader = context.Request.BodyReader;

        // A read that a token ends leaves the reader in a state in which the web server cannot drain the body.
        await using var end = cancellationToken.UnsafeRegister(
            static reader => ((PipeReader)reader!).CancelPendingRead(), reader);
        var read = await reader.ReadAsync(CancellationToken.None);
        reader.AdvanceTo(read.Buffer.Start);
        cancellationToken.ThrowIfCancellationRequested();
    }

    /// <inheritdoc/>
    public async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken) =>
        await context.Request.Body.ReadAtLeastAsync(
            buffer, buffer.Length, throwOnEndOfStream: false, cancellationToken);
}
