using Registry.Engine.Bytes;

namespace Registry.Engine.Convert;

/// <summary>A target that says of itself that it is unfinished, and how far it is, until it is whole.</summary>
/// <remarks>Its first <see cref="MarkBytes"/> hold a mark instead of their content, which is written last. So no reader
/// takes a part for the whole, on a block device either, and whoever goes on finds in the target itself where. A mark
/// is one sector: a power cut leaves the old one or the new one.</remarks>
/// <param name="target">Where it goes; stays the caller's.</param>
/// <param name="isZero">Whether the target reads as zeroes where nothing was written. Where not, gaps are
/// zeroed.</param>
public sealed class UnfinishedTarget(IByteFile target, bool isZero) : IByteSink
{
    /// <summary>Bytes of a mark.</summary>
    public const int MarkBytes = 512;

    private readonly byte[] head = new byte[MarkBytes];
    private RangeSet written = new();
    private long settled;

    /// <summary>Reads the mark, or what is in its place.</summary>
    /// <param name="target">The target.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>At most <see cref="MarkBytes"/>; less where the target is shorter.</returns>
    public static async ValueTask<ReadOnlyMemory<byte>> ReadMarkAsync(
        IByteFile target, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(target);
        var mark = new byte[MarkBytes];
        return mark.AsMemory(0, await target.ReadAsync(0, mark, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Gives a finished file its name in the same directory, so that it survives a power cut.</summary>
    /// <exception cref="IOException">There is a file of that name, which is kept, or the directory could not be
    /// flushed.</exception>
    public static void Publish(string file, string name)
    {
        using var directory = HostDirectory.Open(Path.GetDirectoryName(Path.GetFullPath(name))!);
        directory.Rename(Path.GetFileName(file), Path.GetFileName(name), replaces: false);
        directory.Flush();
    }

    /// <summary>Goes on after an interruption.</summary>
    /// <param name="end">Bytes of the target that were settled.</param>
    public void Resume(long end) => settled = end;

    /// <summary>Everything before a byte has been written: zeroes the gaps, makes it last, and notes it.</summary>
    /// <param name="end">First byte that is not settled; no less than before.</param>
    /// <param name="mark">What to note, at most <see cref="MarkBytes"/>.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="IOException">The target failed; what is in it is unknown.</exception>
    public async ValueTask SettleAsync(long end, ReadOnlyMemory<byte> mark, CancellationToken cancellationToken)
    {
        var sector = new byte[MarkBytes];
        mark.CopyTo(sector);
        await ZeroGapsAsync(end, cancellationToken).ConfigureAwait(false);
        await target.FlushAsync(cancellationToken).ConfigureAwait(false);
        await target.WriteAsync(0, sector, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Everything has been written: the mark gives way to the content.</summary>
    /// <param name="length">Bytes of the whole.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="IOException">The target failed; what is in it is unknown.</exception>
    public async ValueTask FinishAsync(long length, CancellationToken cancellationToken)
    {
        await ZeroGapsAsync(length, cancellationToken).ConfigureAwait(false);
        await target.FlushAsync(cancellationToken).ConfigureAwait(false);
        await target.WriteAsync(0, head.AsMemory(0, (int)Math.Min(length, MarkBytes)), cancellationToken)
            .ConfigureAwait(false);
        await target.SetLengthAsync(length, cancellationToken).ConfigureAwait(false); // a mark may be longer
        await target.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        if (offset < MarkBytes)
        {
            var part = (int)Math.Min(MarkBytes - offset, data.Length);
            data[..part].CopyTo(head.AsMemory((int)offset));
            (offset, data) = (offset + part, data[part..]);
        }

        if (data.Length == 0)
        {
            return ValueTask.CompletedTask;
        }

        if (!isZero)
        {
            written.Add(offset, offset + data.Length);
        }

        return target.WriteAsync(offset, data, cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask ZeroAsync(long offset, long length, CancellationToken cancellationToken)
    {
        if (offset < MarkBytes)
        {
            var part = Math.Min(MarkBytes - offset, length);
            head.AsSpan((int)offset, (int)part).Clear();
            (offset, length) = (offset + part, length - part);
        }

        if (length > 0)
        {
            await target.ZeroAsync(offset, length, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public ValueTask SetLengthAsync(long length, CancellationToken cancellationToken) =>
        target.SetLengthAsync(Math.Max(length, MarkBytes), cancellationToken);

    /// <inheritdoc/>
    public ValueTask FlushAsync(CancellationToken cancellationToken) => target.FlushAsync(cancellationToken);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private async ValueTask ZeroGapsAsync(long end, CancellationToken cancellationToken)
    {
        if (!isZero)
        {
            foreach (var (gap, gapEnd) in written.Gaps(end))
            {
                var from = Math.Max(Math.Max(gap, settled), MarkBytes);
                if (from < gapEnd)
                {
                    await target.ZeroAsync(from, gapEnd - from, cancellationToken).ConfigureAwait(false);
                }
            }

            written = written.From(end);
        }

        settled = Math.Max(settled, end);
    }
}
