using System.Diagnostics;
using Registry.Engine.Disks;

namespace Registry.Engine.Convert;

/// <summary>Holds a writer back to a number of bytes in a second.</summary>
/// <param name="bytesPerSecond">The most, 1 or more; null for as many as can be.</param>
internal sealed class WritePace(long? bytesPerSecond)
{
    private readonly long started = Stopwatch.GetTimestamp();
    private long written;

    /// <summary>Waits until so many bytes more may have been written.</summary>
    public async ValueTask WaitAsync(long bytes, CancellationToken cancellationToken)
    {
        if (bytesPerSecond is not { } rate)
        {
            return;
        }

        written += bytes;
        var due = TimeSpan.FromSeconds((double)written / rate) - Stopwatch.GetElapsedTime(started);
        if (due > TimeSpan.Zero)
        {
            await Task.Delay(due, cancellationToken).ConfigureAwait(false);
        }
    }
}

/// <summary>A disk that is written no faster than it may be.</summary>
/// <param name="disk">The disk.</param>
/// <param name="bytesPerSecond">The most, 1 or more; null for as many as can be.</param>
public sealed class PacedDisk(IDiskWriter disk, long? bytesPerSecond) : IDiskWriter
{
    private readonly WritePace pace = new(bytesPerSecond);

    /// <inheritdoc/>
    public long VirtualSize => disk.VirtualSize;

    /// <inheritdoc/>
    public async ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        await pace.WaitAsync(data.Length, cancellationToken).ConfigureAwait(false);
        await disk.WriteAsync(offset, data, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask ZeroAsync(long offset, long length, bool mayUnmap, CancellationToken cancellationToken) =>
        disk.ZeroAsync(offset, length, mayUnmap, cancellationToken);

    /// <inheritdoc/>
    public ValueTask ResizeAsync(long size, CancellationToken cancellationToken) =>
        disk.ResizeAsync(size, cancellationToken);

    /// <inheritdoc/>
    public ValueTask FlushAsync(CancellationToken cancellationToken) => disk.FlushAsync(cancellationToken);
}
