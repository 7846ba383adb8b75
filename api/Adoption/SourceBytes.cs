using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using Registry.Api.ImageData;
using Registry.Storage.Blobs.S3;

namespace Registry.Api.Adoption;

/// <summary>Bytes that are read once, front to back, where Glance keeps them.</summary>
internal abstract class SourceBytes : IUploadBody, IDisposable
{
    private IncrementalHash? _hash;
    private long _offset;

    /// <summary>Length in bytes as Glance has it, or the file; null when nobody knows.</summary>
    public long? Length { get; set; }

    /// <summary>Hears of bytes read.</summary>
    public Action<long> Progress { get; set; } = _ => { };

    /// <summary>The file, where it is one.</summary>
    public virtual SafeFileHandle? File => null;

    /// <summary>Computes one more digest of what is read.</summary>
    public void Hash(HashAlgorithmName algorithm) => _hash = IncrementalHash.CreateHash(algorithm);

    /// <summary>The digest that was asked for, in lower-case hex; null when none was.</summary>
    public string? Digest() => _hash is null ? null : Convert.ToHexStringLower(_hash.GetHashAndReset());

    /// <inheritdoc/>
    public async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var filled = 0;
        while (filled < buffer.Length
            && await ReadAsync(_offset, buffer[filled..], cancellationToken) is var read and > 0)
        {
            filled += read;
            _offset += read;
        }

        _hash?.AppendData(buffer.Span[..filled]);
        Progress(filled);
        return filled;
    }

    /// <inheritdoc/>
    public virtual void Dispose() => _hash?.Dispose();

    /// <summary>Reads some bytes; 0 at the end.</summary>
    protected abstract ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken);
}

/// <summary>The bytes of a file.</summary>
internal sealed class FileSource(SafeFileHandle file) : SourceBytes
{
    /// <inheritdoc/>
    public override SafeFileHandle File => file;

    /// <inheritdoc/>
    public override void Dispose()
    {
        base.Dispose();
        file.Dispose();
    }

    /// <inheritdoc/>
    protected override ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        RandomAccess.ReadAsync(file, buffer, offset, cancellationToken);
}

/// <summary>The bytes of an object in a bucket.</summary>
internal sealed class ObjectSource(S3BlobStore bucket, string name) : SourceBytes
{
    /// <inheritdoc/>
    protected override ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        bucket.ReadForeignAsync(name, offset, buffer, cancellationToken);
}
