using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Engine.Convert;

/// <summary>Writes a disk as a qcow2 file when it is not known beforehand which clusters hold content: clusters of
/// zeroes are left out as they pass by, so any disk is read once and comes out compact.</summary>
/// <param name="target">Where it goes; stays the caller's.</param>
/// <param name="virtualSize">Bytes of the disk; a multiple of 512.</param>
/// <param name="options">Shape of the file.</param>
/// <exception cref="DiskOperationException">The options contradict each other, or the disk does not fit.</exception>
public sealed class QcowAppendSink(IByteSink target, long virtualSize, QcowShape options) : IRunSink
{
    private readonly int clusterSize = options.ClusterSize;
    private readonly QcowTables tables = new(virtualSize, options);

    /// <inheritdoc/>
    public long BytesWritten { get; private set; }

    /// <summary>Whether completing flushes to stable storage.</summary>
    public bool IsDurable { get; init; } = true;

    /// <summary>Whether the target reads as zeroes: a new file, unlike a block device.</summary>
    public bool TargetIsZero { get; init; } = true;

    /// <inheritdoc/>
    public int SparseBytes { get; init; } = ZeroBlocks.DefaultBytes;

    /// <summary>Whether every run of zeroes is found, so that nothing is copied unseen.</summary>
    public bool FindsAllZeroes { get; init; }

    /// <inheritdoc/>
    public bool TakesRuns => target is FileBytes && !(FindsAllZeroes && SparseBytes > 0);

    /// <inheritdoc/>
    public async ValueTask WriteAsync(long guestOffset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(guestOffset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(data.Length, virtualSize - guestOffset);
        while (data.Length > 0)
        {
            var end = tables.End;
            var (host, length) = NextRun(guestOffset, data.Length, data.Span);
            if (host > 0)
            {
                await ClearAroundAsync(end, host, length, cancellationToken).ConfigureAwait(false);
                var block = TargetIsZero ? SparseBytes : 0;
                BytesWritten += await ZeroBlocks
                    .WriteOthersAsync(target, host, data[..length], block, cancellationToken).ConfigureAwait(false);
            }

            guestOffset += length;
            data = data[length..];
        }
    }

    /// <inheritdoc/>
    public async ValueTask CopyAsync(
        long guestOffset, FileBytes source, long offset, int length, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentOutOfRangeException.ThrowIfNegative(guestOffset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, virtualSize - guestOffset);
        for (var done = 0; done < length;)
        {
            var end = tables.End;
            var (host, run) = NextRun(guestOffset + done, length - done, []);
            await ClearAroundAsync(end, host, run, cancellationToken).ConfigureAwait(false);
            await source.CopyToAsync(offset + done, (FileBytes)target, host, run, cancellationToken)
                .ConfigureAwait(false);
            BytesWritten += run;
            done += run;
        }
    }

    /// <inheritdoc/>
    public async ValueTask CompleteAsync(CancellationToken cancellationToken)
    {
        await tables.WriteAsync(target, cancellationToken).ConfigureAwait(false);
        if (IsDurable)
        {
            await target.FlushAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Zeroes what a used target holds in new clusters, from <paramref name="first"/> on, beside the content
    /// that is about to be written.</summary>
    private async ValueTask ClearAroundAsync(long first, long host, int length, CancellationToken cancellationToken)
    {
        if (TargetIsZero || tables.End == first)
        {
            return;
        }

        if (host > first)
        {
            await target.ZeroAsync(first, host - first, cancellationToken).ConfigureAwait(false);
        }

        if (host + length < tables.End)
        {
            await target.ZeroAsync(host + length, tables.End - host - length, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>The longest run from the start that is written in one piece, and where; or skipped, where is
    /// 0.</summary>
    /// <param name="guestOffset">First guest byte.</param>
    /// <param name="most">Bytes that are there.</param>
    /// <param name="data">These bytes; empty where they are content without a look.</param>
    private (long Host, int Length) NextRun(long guestOffset, int most, ReadOnlySpan<byte> data)
    {
        var start = 0L;
        var length = 0;
        do
        {
            var within = (int)((guestOffset + length) & (clusterSize - 1));
            var step = Math.Min(most - length, clusterSize - within);
            var cluster = (guestOffset + length) / clusterSize;
            var known = tables.Host(cluster);
            var isZero = known == 0 && SparseBytes > 0 && !data.IsEmpty
                && !data.Slice(length, step).ContainsAnyExcept((byte)0);
            var host = isZero ? 0 : (known == 0 ? tables.End : known) + within;
            if (length > 0 && host != (start == 0 ? 0 : start + length))
            {
                break;
            }

            if (!isZero && known == 0)
            {
                tables.SetPlain(cluster, tables.Allocate(1));
            }

            start = length == 0 ? host : start;
            length += step;
        }
        while (length < most);
        return (start, length);
    }
}
