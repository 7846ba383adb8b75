using System.Buffers;

namespace Registry.Api.Nbd;

/// <summary>The second part of a connection: the client reads and writes the export it chose.</summary>
/// <remarks>Up to <see cref="RequestsMax"/> requests are worked at, and answered in whatever order they are done; more
/// wait in the connection. Each holds one slice of what it reads; what is written goes to the overlay as it comes in,
/// so writes are carried out one after the other.</remarks>
internal sealed class NbdSession(
    NbdChoice choice, NbdInput input, NbdReplies replies, TimeSpan patience, Action<Exception> broken) : IDisposable
{
    /// <summary>Bytes that a connection's requests hold together: a slice of each.</summary>
    public const int BuffersBytes = RequestsMax * NbdChunk.Bytes;

    private const int RequestsMax = 16;

    private readonly NbdExport _export = choice.Export;
    private readonly SemaphoreSlim _free = new(RequestsMax);

    /// <summary>Bytes of requests that were read.</summary>
    public long BytesRead { get; private set; }

    /// <summary>Serves the client until it goes.</summary>
    /// <param name="stopping">Ends the session when the requests under way are answered.</param>
    /// <param name="gone">The connection ended.</param>
    /// <returns>Whether the client said that it was done.</returns>
    /// <exception cref="NbdViolationException">The client does not keep to the protocol.</exception>
    public async Task<bool> RunAsync(CancellationToken stopping, CancellationToken gone)
    {
        var head = new byte[NbdRequest.Size];
        try
        {
            // Not until it is gone: that it was done is perhaps the last thing it said.
            while (await input.FillAsync(head, stopping))
            {
                var request = NbdRequest.Parse(head);
                if (request.Command == NbdCommand.Disconnect)
                {
                    return true;
                }

                await BeginAsync(request, gone);
            }

            return false;
        }
        finally
        {
            for (var i = 0; i < RequestsMax; i++)
            {
                await _free.WaitAsync(CancellationToken.None);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _free.Dispose();

    // Changes are made here and now, in the order they come in; everything else goes on by itself.
    private async ValueTask BeginAsync(NbdRequest request, CancellationToken gone)
    {
        switch (request.Command)
        {
            case NbdCommand.Write:
                await WriteAsync(request, gone);
                return;
            case NbdCommand.Trim or NbdCommand.WriteZeroes:
                await AnswerAsync(request, () => ZeroAsync(request, gone), gone);
                return;
            case NbdCommand.Read when IsReadable(request):
                _export.Expect(request.Start, request.Length);
                BytesRead += request.Length;
                break;
            case NbdCommand.Cache when request.IsInside(_export.Size):
                _export.Prepare(request.Start, request.Length);
                break;
            default:
                break;
        }

        await _free.WaitAsync(gone);
        _ = AnswerAsideAsync(request, gone);
    }

    private async Task AnswerAsideAsync(NbdRequest request, CancellationToken gone)
    {
        try
        {
            await AnswerAsync(
                request,
                () => request.Command switch
                {
                    NbdCommand.Read => ReadAsync(request, gone),
                    NbdCommand.BlockStatus => StatusAsync(request, gone),
                    NbdCommand.Cache => CacheAsync(request, gone),
                    NbdCommand.Flush => EndAsync(request, gone), // an overlay lives no longer than its connection
                    _ => throw new NbdRefusalException(NbdError.Invalid, "This command is not known."),
                },
                gone);
        }
#pragma warning disable CA1031 // ends the connection, and is told there
        catch (Exception e)
#pragma warning restore CA1031
        {
            broken(e);
        }
        finally
        {
            _free.Release();
        }
    }

    /// <summary>Carries out a request, and says so where it fails.</summary>
    private async ValueTask AnswerAsync(NbdRequest request, Func<ValueTask> work, CancellationToken gone)
    {
        try
        {
            await work();
        }
        catch (Exception e) when (NbdErrors.IsOfRequest(e) && !gone.IsCancellationRequested)
        {
            var (error, message) = NbdErrors.Of(e);
            await replies.EndAsync(request, error, message, gone);
        }
    }

    private async ValueTask ReadAsync(NbdRequest request, CancellationToken gone)
    {
        RequireFlags(request, NbdCommandFlags.DontFragment);
        RequireReadable(request);
        if (request.Length == 0)
        {
            await EndAsync(request, gone);
            return;
        }

        var end = request.Start + request.Length;
        if (!choice.IsStructured)
        {
            using var first = await SliceAsync(request.Start, end, gone);
            await replies.SimpleAsync(request, first, at => NextAsync(at, end, gone), gone);
            return;
        }

        for (var at = request.Start; at < end;)
        {
            using var slice = await SliceAsync(at, end, gone);
            at = slice.End;
            await replies.SliceAsync(request, slice, isLast: at == end, gone);
        }
    }

    /// <summary>Reads what comes next, to the next multiple of a slice's length.</summary>
    private ValueTask<NbdSlice> SliceAsync(long at, long end, CancellationToken gone) => _export.ReadAsync(
        at, (int)Math.Min(end - at, NbdSlice.MaxBytes - (at % NbdChunk.Bytes)), gone);

    private async ValueTask<NbdSlice?> NextAsync(long at, long end, CancellationToken gone)
    {
        try
        {
            return at < end ? await SliceAsync(at, end, gone) : null;
        }
        catch (Exception e) when (NbdErrors.IsOfRequest(e))
        {
            throw new NbdViolationException($"a simple reply cannot be finished: {e.Message}");
        }
    }

    private async ValueTask StatusAsync(NbdRequest request, CancellationToken gone)
    {
        Require(choice.HasStatus, "No metadata context was chosen.");
        RequireFlags(request, NbdCommandFlags.OnlyOne);
        Require(request.Length > 0 && request.IsInside(_export.Size), "The range is not in the disk.");
        var onlyOne = request.Flags.HasFlag(NbdCommandFlags.OnlyOne);
        var status = await _export.StatusAsync(request.Start, request.Length, onlyOne, gone);
        await replies.StatusAsync(request, NbdMeta.AllocationId, status, gone);
    }

    private ValueTask CacheAsync(NbdRequest request, CancellationToken gone)
    {
        RequireFlags(request, NbdCommandFlags.None);
        Require(request.IsInside(_export.Size), "The range is not in the disk.");
        return EndAsync(request, gone);
    }

    private async ValueTask ZeroAsync(NbdRequest request, CancellationToken gone)
    {
        RequireWritable(request);
        RequireFlags(request, request.Command == NbdCommand.Trim ? NbdCommandFlags.None : NbdCommandFlags.NoHole);
        await _export.ZeroAsync(request.Start, request.Length, request.Command == NbdCommand.Trim, gone);
        await EndAsync(request, gone);
    }

    // The payload comes in whatever the answer will be.
    private async ValueTask WriteAsync(NbdRequest request, CancellationToken gone)
    {
        if (request.Length > NbdRequest.PayloadMax)
        {
            throw new NbdViolationException("a write is too long");
        }

        Exception? failure = null;
        var rented = ArrayPool<byte>.Shared.Rent(NbdChunk.Bytes);
        try
        {
            for (var done = 0L; done < request.Length;)
            {
                var at = unchecked((long)request.Offset + done);
                var length = (int)Math.Min(NbdChunk.Bytes - (at & (NbdChunk.Bytes - 1)), request.Length - done);
                var data = rented.AsMemory(0, length);
                await input.FillAsync(data, patience, gone);
                done += length;
                failure ??= await TryWriteAsync(request, at, data, gone);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }

        await AnswerAsync(
            request,
            () => failure is null ? EndAsync(request, gone) : ValueTask.FromException(failure),
            gone);
    }

    private async ValueTask<Exception?> TryWriteAsync(
        NbdRequest request, long at, ReadOnlyMemory<byte> data, CancellationToken gone)
    {
        try
        {
            RequireWritable(request);
            await _export.WriteAsync(at, data, gone);
            return null;
        }
        catch (Exception e) when (NbdErrors.IsOfRequest(e))
        {
            return e;
        }
    }

    private ValueTask EndAsync(NbdRequest request, CancellationToken gone) =>
        replies.EndAsync(request, NbdError.None, "", gone);

    private bool IsReadable(NbdRequest request) =>
        request.IsInside(_export.Size) && request.Length <= NbdRequest.PayloadMax;

    private void RequireReadable(NbdRequest request)
    {
        Require(request.IsInside(_export.Size), "The range is not in the disk.");
        var most = request.Flags.HasFlag(NbdCommandFlags.DontFragment) && choice.IsStructured
            ? NbdSlice.MaxBytes - (request.Start % NbdChunk.Bytes)
            : NbdRequest.PayloadMax;
        if (request.Length > most)
        {
            throw new NbdRefusalException(NbdError.Overflow, $"At most {most} bytes can be read so at once.");
        }
    }

    private void RequireWritable(NbdRequest request)
    {
        if (!_export.IsWritable)
        {
            throw new NbdRefusalException(NbdError.NotPermitted, "The export is read-only.");
        }

        if (!request.IsInside(_export.Size))
        {
            throw new NbdRefusalException(
                request.Command == NbdCommand.Trim ? NbdError.Invalid : NbdError.NoSpace,
                "The range is not in the disk.");
        }
    }

    private static void RequireFlags(NbdRequest request, NbdCommandFlags known) => Require(
        (request.Flags & ~(known | NbdCommandFlags.ForceUnitAccess)) == 0, "The command has a flag that is not known.");

    private static void Require(bool condition, string otherwise)
    {
        if (!condition)
        {
            throw new NbdRefusalException(NbdError.Invalid, otherwise);
        }
    }
}
