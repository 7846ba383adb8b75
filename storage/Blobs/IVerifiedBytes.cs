namespace Registry.Storage.Blobs;

/// <summary>A stored blob's bytes, each of which was checked before it is handed out.</summary>
public interface IVerifiedBytes
{
    /// <summary>Length in bytes.</summary>
    long Length { get; }

    /// <inheritdoc cref="VerifiedBlob.MapLength"/>
    long MapLength { get; }

    /// <inheritdoc cref="VerifiedBlob.ReadAsync"/>
    ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken);

    /// <inheritdoc cref="VerifiedBlob.RunAsync"/>
    ValueTask<BlobRun> RunAsync(long offset, CancellationToken cancellationToken);

    /// <inheritdoc cref="VerifiedBlob.ReadMapAsync"/>
    ValueTask<int> ReadMapAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken);
}
