namespace Registry.Api.ImageData;

/// <summary>The bytes that a client sends, from HTTP or gRPC.</summary>
public interface IUploadBody
{
    /// <summary>Length in bytes as the client stated it; null when it did not.</summary>
    long? Length { get; }

    /// <summary>SHA-512 of the bytes as the client stated it, lower-case hexadecimal; null when it did not. An upload of
    /// other bytes is refused.</summary>
    string? Sha512 => null;

    /// <summary>Fills a buffer with the next bytes.</summary>
    /// <returns>Bytes filled: the whole buffer, or less only at the end; 0 at the end.</returns>
    /// <exception cref="IOException">The client went away.</exception>
    ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken);
}

/// <summary>The body of an HTTP request.</summary>
internal sealed class HttpUploadBody(Stream body, long? length, string? sha512 = null) : IUploadBody
{
    /// <inheritdoc/>
    public long? Length => length;

    /// <inheritdoc/>
    public string? Sha512 => sha512;

    /// <inheritdoc/>
    public async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken) =>
        await body.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellationToken);
}
