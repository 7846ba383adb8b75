using Registry.Engine.Bytes;

namespace Registry.Engine.Convert;

/// <summary>A sink that can have runs of a local file copied to it inside the kernel, without their passing through
/// memory of ours.</summary>
public interface IRunSink : IDiskSink
{
    /// <summary>Whether it takes runs as it is set up; otherwise everything is written.</summary>
    bool TakesRuns { get; }

    /// <summary>Bytes of the runs of zeroes that are not written, a power of two; 0 when zeroes are content
    /// too.</summary>
    int SparseBytes { get; }

    /// <summary>Copies guest bytes; zeroes among them are not looked for.</summary>
    /// <param name="guestOffset">First guest byte.</param>
    /// <param name="source">The file that holds them.</param>
    /// <param name="offset">First byte there.</param>
    /// <param name="length">Bytes, all of which the file has.</param>
    /// <param name="cancellationToken">Cancels the copy.</param>
    /// <exception cref="IOException">Reading or writing failed.</exception>
    ValueTask CopyAsync(
        long guestOffset, FileBytes source, long offset, int length, CancellationToken cancellationToken);
}
