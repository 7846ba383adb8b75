namespace Registry.Engine.Bytes;

/// <summary>Random-access bytes of known length: a local file, a stored blob, a remote range.</summary>
/// <remarks>Reads are positional and may run in parallel; there is no shared position.</remarks>
public interface IByteSource : IAsyncDisposable
{
    /// <summary>Length in bytes; fixed for the life of the source.</summary>
    long Length { get; }

    /// <summary>Fills <paramref name="buffer"/> from <paramref name="offset"/>.</summary>
    /// <param name="offset">Byte offset, 0 or more; at or past <see cref="Length"/> nothing is read.</param>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="cancellationToken">Cancels the read.</param>
    /// <returns>Bytes read: the whole buffer, or less only because the source ends.</returns>
    /// <exception cref="IOException">The bytes could not be read, or were not the bytes that were stored.</exception>
    ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken);

    /// <summary>Describes the run of bytes that starts at <paramref name="offset"/>.</summary>
    /// <param name="offset">Byte offset, 0 to <see cref="Length"/> exclusive.</param>
    /// <param name="cancellationToken">Cancels the look-up.</param>
    /// <returns>Length of the run in bytes (at least 1, at most to the end) and whether it is known to be all zeroes
    /// without reading it. A source that cannot tell answers one run of data to the end.</returns>
    ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken);
}

/// <summary>A run of bytes in a source.</summary>
/// <param name="Length">Length in bytes, at least 1.</param>
/// <param name="IsHole">True when the run reads as zeroes and needs no reading; false says nothing of its
/// bytes.</param>
public readonly record struct ByteRun(long Length, bool IsHole);
