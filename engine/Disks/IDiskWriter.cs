namespace Registry.Engine.Disks;

/// <summary>A disk that is changed in place, whatever its format.</summary>
public interface IDiskWriter
{
    /// <summary>Virtual size in bytes.</summary>
    long VirtualSize { get; }

    /// <summary>Writes guest bytes.</summary>
    /// <param name="offset">First guest byte; offset + length is at most <see cref="VirtualSize"/>.</param>
    /// <param name="data">The bytes.</param>
    /// <param name="cancellationToken">Cancels; what of the bytes is written is then unspecified.</param>
    ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken);

    /// <summary>Makes guest bytes zero.</summary>
    /// <param name="offset">First guest byte; offset + length is at most <see cref="VirtualSize"/>.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="mayUnmap">Whether the space may be given back.</param>
    /// <param name="cancellationToken">Cancels; how much is zero by then is unspecified.</param>
    ValueTask ZeroAsync(long offset, long length, bool mayUnmap, CancellationToken cancellationToken);

    /// <summary>Changes the virtual size; new bytes are zero.</summary>
    /// <param name="size">New size in bytes, a multiple of 512.</param>
    /// <param name="cancellationToken">Cancels.</param>
    ValueTask ResizeAsync(long size, CancellationToken cancellationToken);

    /// <summary>Makes everything written so far survive a power cut.</summary>
    /// <param name="cancellationToken">Cancels the work.</param>
    ValueTask FlushAsync(CancellationToken cancellationToken);
}
