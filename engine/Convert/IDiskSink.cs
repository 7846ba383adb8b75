namespace Registry.Engine.Convert;

/// <summary>Receives a disk's content in pieces, in any order; what is not written reads as zeroes
/// afterwards.</summary>
/// <remarks>One call at a time.</remarks>
public interface IDiskSink
{
    /// <summary>Content bytes written so far; zeroes that were skipped are not counted.</summary>
    long BytesWritten { get; }

    /// <summary>Writes guest bytes.</summary>
    /// <param name="guestOffset">First guest byte.</param>
    /// <param name="data">The content.</param>
    /// <param name="cancellationToken">Cancels the write.</param>
    ValueTask WriteAsync(long guestOffset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken);

    /// <summary>Ends the disk: its length is set, and everything is flushed to stable storage unless the sink was told
    /// otherwise.</summary>
    /// <param name="cancellationToken">Cancels the wait.</param>
    ValueTask CompleteAsync(CancellationToken cancellationToken);
}
