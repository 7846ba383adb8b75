namespace Registry.Engine.Bytes;

/// <summary>Random-access bytes to write: a new local file, or a block device.</summary>
public interface IByteSink : IAsyncDisposable
{
    /// <summary>Writes <paramref name="data"/> at <paramref name="offset"/>, growing the sink where it can
    /// grow.</summary>
    /// <param name="offset">Byte offset, 0 or more.</param>
    /// <param name="data">The bytes.</param>
    /// <param name="cancellationToken">Cancels the write; what was written by then is unspecified.</param>
    /// <exception cref="IOException">The write failed; the sink is to be thrown away.</exception>
    ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken);

    /// <summary>Makes a range read as zeroes, without writing them where that is possible.</summary>
    /// <param name="offset">Byte offset, 0 or more.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    ValueTask ZeroAsync(long offset, long length, CancellationToken cancellationToken);

    /// <summary>Sets the length in bytes; a grown part reads as zeroes. A block device must be at least that
    /// long.</summary>
    /// <param name="length">New length in bytes, 0 or more.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    ValueTask SetLengthAsync(long length, CancellationToken cancellationToken);

    /// <summary>Makes everything written so far survive a power cut.</summary>
    /// <param name="cancellationToken">Cancels the wait.</param>
    /// <exception cref="IOException">The flush failed: what is on disk is unknown, the sink is to be thrown
    /// away.</exception>
    ValueTask FlushAsync(CancellationToken cancellationToken);
}
