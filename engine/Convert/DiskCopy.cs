using Registry.Engine.Disks;

namespace Registry.Engine.Convert;

/// <summary>Copies a disk into a sink with several workers.</summary>
/// <remarks>
/// Each worker takes the next range, fetches and decodes it, waits for its turn, and hands it to the sink: what a
/// processor has just read it writes while it still has it at hand, and while one worker writes the others fetch. The
/// sink sees one call at a time, in the plan's order.
/// </remarks>
/// <param name="image">The disk.</param>
/// <param name="sink">Where it goes.</param>
/// <param name="options">How it is read.</param>
/// <param name="progress">Told the guest bytes copied so far; null when nobody looks.</param>
internal sealed class DiskCopy(DiskImage image, IDiskSink sink, DiskReadOptions options, IProgress<long>? progress)
    : IDisposable
{
    private readonly SemaphoreSlim planning = new(1, 1);
    private readonly List<Task> workers = [];
    private RunCopier? copier;
    private Func<Task>? start;
    private Task lastTurn = Task.CompletedTask;
    private long copied;

    /// <summary>Copies everything; ending the sink is left to the caller.</summary>
    /// <param name="cancellationToken">Stops; the target is then unfinished.</param>
    public async ValueTask RunAsync(CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var planner = new ReadPlanner(image, options, stop.Token);
        await using var closing = planner.ConfigureAwait(false);
        var totals = options.Totals ?? new DiskReadTotals();
        var fetcher = new RangeFetcher(image, planner.Start, planner.End, totals, stop);
        copier = sink is IRunSink { TakesRuns: true } runs
            ? new RunCopier(image, runs, planner.Start, planner.End, totals)
            : null;
        Func<Task> work = () => WorkAsync(planner, fetcher, stop);
        start = work;
        for (var i = 0; i < (options.OnlyDecodesInParallel ? 1 : options.Parallelism); i++)
        {
            workers.Add(Task.Run(work, CancellationToken.None));
        }

        // A worker may start another one while it works, never later.
        for (var seen = 0; seen < workers.Count;)
        {
            seen = workers.Count;
            await Task.WhenAll(workers).ContinueWith(
                static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default)
                .ConfigureAwait(false);
        }

        // What failed first; the others were stopped by it.
        fetcher.ThrowFailure();
        cancellationToken.ThrowIfCancellationRequested();
        await Task.WhenAll(workers).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public void Dispose() => planning.Dispose();

    private async Task WorkAsync(ReadPlanner planner, RangeFetcher fetcher, CancellationTokenSource stop)
    {
        try
        {
            while (true)
            {
                var (range, before, turn) = await NextAsync(planner, stop.Token).ConfigureAwait(false);
                if (range is null)
                {
                    return;
                }

                try
                {
                    await CopyAsync(fetcher, range, before, stop.Token).ConfigureAwait(false);
                }
                finally
                {
                    turn!.SetResult();
                }
            }
        }
        catch (Exception e)
        {
            fetcher.Fail(e);
            await stop.CancelAsync().ConfigureAwait(false);
            throw;
        }
    }

    private async ValueTask<(ReadRange? Range, Task Before, TaskCompletionSource? Turn)> NextAsync(
        ReadPlanner planner, CancellationToken cancellationToken)
    {
        await planning.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (await planner.NextAsync().ConfigureAwait(false) is not { } range)
            {
                return (null, Task.CompletedTask, null);
            }

            if (range.CompressedParts > 0 && workers.Count < options.Parallelism)
            {
                workers.Add(Task.Run(start!, CancellationToken.None));
            }

            var before = lastTurn;
            var turn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            lastTurn = turn.Task;
            return (range, before, turn);
        }
        finally
        {
            planning.Release();
        }
    }

    private async ValueTask CopyAsync(
        RangeFetcher fetcher, ReadRange range, Task before, CancellationToken cancellationToken)
    {
        if (copier?.Takes(range) == true)
        {
            await before.ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
            copied += await copier.CopyAsync(range, cancellationToken).ConfigureAwait(false);
            progress?.Report(copied);
            return;
        }

        var pieces = await fetcher.FetchHereAsync(range).ConfigureAwait(false);
        try
        {
            await before.ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
            foreach (var piece in pieces)
            {
                if (!piece.IsZero)
                {
                    await sink.WriteAsync(piece.Offset, piece.Data, cancellationToken).ConfigureAwait(false);
                    copied += piece.Length;
                    progress?.Report(copied);
                }
            }
        }
        finally
        {
            foreach (var piece in pieces)
            {
                piece.Dispose();
            }
        }
    }
}
