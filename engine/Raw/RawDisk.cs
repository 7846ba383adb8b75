using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Raw;

/// <summary>A raw disk that is changed in place: the file is the disk.</summary>
/// <param name="file">The file; stays the caller's.</param>
public sealed class RawDisk(IByteFile file) : IDiskWriter
{
    /// <inheritdoc/>
    public long VirtualSize => file.Length;

    /// <inheritdoc/>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        Check(offset, data.Length);
        return file.WriteAsync(offset, data, cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask ZeroAsync(long offset, long length, bool mayUnmap, CancellationToken cancellationToken)
    {
        Check(offset, length);
        return file.ZeroAsync(offset, length, cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask ResizeAsync(long size, CancellationToken cancellationToken) =>
        file.SetLengthAsync(size, cancellationToken);

    /// <inheritdoc/>
    public ValueTask FlushAsync(CancellationToken cancellationToken) => file.FlushAsync(cancellationToken);

    private void Check(long offset, long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, VirtualSize - offset);
    }
}
