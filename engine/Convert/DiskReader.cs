using System.Runtime.CompilerServices;
using Registry.Engine.Disks;

namespace Registry.Engine.Convert;

/// <summary>Reads a disk's content as fast as its source allows, and nothing that is not stored.</summary>
/// <remarks>
/// <code>
///   map  ->  1 plan  ->  2 fetch and decode, several ranges at once  ->  3 pieces, in the plan's order  ->  any sink
/// </code>
/// Everything is pulled: nothing is planned or fetched before the consumer asks for more, beyond the few ranges that
/// <see cref="DiskReadOptions.Parallelism"/> allows ahead of it.
/// </remarks>
public static class DiskReader
{
    /// <summary>Reads the disk, or a part of it.</summary>
    /// <param name="image">The disk.</param>
    /// <param name="options">Range, order, and how much is done at once.</param>
    /// <param name="cancellationToken">Stops the fetching; the enumeration throws.</param>
    /// <returns>Pieces that do not overlap; dispose each. Breaking off early gives back everything not handed
    /// out.</returns>
    /// <exception cref="ImageFormatException">The image is malformed where it was read.</exception>
    /// <exception cref="IOException">A layer could not be read, or ends early.</exception>
    public static async IAsyncEnumerable<DiskPiece> ReadAsync(
        DiskImage image, DiskReadOptions options, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        Check(image, options);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var planner = new ReadPlanner(image, options, stop.Token);
        var fetcher = new RangeFetcher(image, planner.Start, planner.End, options.Totals ?? new DiskReadTotals(), stop);
        var ahead = new Queue<Task<DiskPiece[]>>();
        try
        {
            while (true)
            {
                await FetchAheadAsync(planner, fetcher, ahead, options.Parallelism).ConfigureAwait(false);
                if (ahead.Count == 0)
                {
                    break;
                }

                var pieces = await fetcher.ResultAsync(ahead.Dequeue()).ConfigureAwait(false);
                var taken = 0;
                try
                {
                    // The place this range had is filled before its pieces are written, so that fetching never pauses.
                    await FetchAheadAsync(planner, fetcher, ahead, options.Parallelism).ConfigureAwait(false);
                    while (taken < pieces.Length)
                    {
                        yield return pieces[taken++];
                    }
                }
                finally
                {
                    Release(pieces.AsSpan(taken));
                }
            }
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            while (ahead.TryDequeue(out var task))
            {
                await ReleaseAsync(task).ConfigureAwait(false);
            }

            await planner.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Reads the disk into a sink and ends the sink.</summary>
    /// <param name="image">The disk.</param>
    /// <param name="sink">Where it goes.</param>
    /// <param name="options">How it is read.</param>
    /// <param name="progress">Told the guest bytes copied so far after each piece; null when nobody looks.</param>
    /// <param name="cancellationToken">Stops; the target is then unfinished.</param>
    public static async ValueTask CopyAsync(
        DiskImage image, IDiskSink sink, DiskReadOptions options, IProgress<long>? progress,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(sink);
        Check(image, options);
        using (var copy = new DiskCopy(image, sink, options, progress))
        {
            await copy.RunAsync(cancellationToken).ConfigureAwait(false);
        }

        await sink.CompleteAsync(cancellationToken).ConfigureAwait(false);
    }

    private static void Check(DiskImage image, DiskReadOptions options)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Parallelism, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.WindowExtents, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxReadsPerRange, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(options.MaxGapBytes);
        ArgumentOutOfRangeException.ThrowIfNegative(options.MaxForeignBytes);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxRangeBytes, 64 << 10);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.MaxRangeBytes, 64 << 20);
    }

    private static async ValueTask FetchAheadAsync(
        ReadPlanner planner, RangeFetcher fetcher, Queue<Task<DiskPiece[]>> ahead, int parallelism)
    {
        try
        {
            while (ahead.Count < parallelism && await planner.NextAsync().ConfigureAwait(false) is { } range)
            {
                ahead.Enqueue(fetcher.Start(range));
            }
        }
        catch (OperationCanceledException)
        {
            fetcher.ThrowFailure();
            throw;
        }
    }

    private static async Task ReleaseAsync(Task<DiskPiece[]> task)
    {
        // Its failure, if any, has been reported already or is a consequence of stopping.
        await Task.WhenAny(task).ConfigureAwait(false);
        if (task.IsCompletedSuccessfully)
        {
            Release(await task.ConfigureAwait(false));
        }
        else
        {
            _ = task.Exception;
        }
    }

    private static void Release(ReadOnlySpan<DiskPiece> pieces)
    {
        foreach (var piece in pieces)
        {
            piece.Dispose();
        }
    }
}
