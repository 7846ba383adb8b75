using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Text;

namespace Registry.Api.Nbd;

/// <summary>What a client is answered once it uses an export. Each call sends something whole; calls may come from
/// several threads.</summary>
/// <param name="output">The connection's bytes.</param>
/// <param name="isStructured">Whether the client knows structured replies.</param>
/// <param name="patience">How long it may leave a reply unread.</param>
/// <param name="clock">Measures that.</param>
internal sealed class NbdReplies(PipeWriter output, bool isStructured, TimeSpan patience, TimeProvider clock)
    : IDisposable
{
    private const int ChunkHead = 20;
    private const int SimpleHead = 16;
    private const int MessageMax = 1024;
    private const ushort Done = 1;

    private static readonly byte[] Zeroes = new byte[NbdChunk.Bytes];
    private readonly SemaphoreSlim _turn = new(1, 1);

    /// <summary>Says that a request was carried out, or why not.</summary>
    public async ValueTask EndAsync(
        NbdRequest request, NbdError error, string message, CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken);
        try
        {
            if (!isStructured)
            {
                Simple(request, error);
            }
            else if (error == NbdError.None)
            {
                Chunk(request, NbdChunkType.None, isLast: true, 0);
            }
            else
            {
                var text = Encoding.UTF8.GetBytes(message);
                text = text[..Math.Min(text.Length, MessageMax)];
                Chunk(request, NbdChunkType.Error, isLast: true, 6 + text.Length);
                var span = output.GetSpan(6 + text.Length);
                BinaryPrimitives.WriteUInt32BigEndian(span, (uint)error);
                BinaryPrimitives.WriteUInt16BigEndian(span[4..], (ushort)text.Length);
                text.CopyTo(span[6..]);
                output.Advance(6 + text.Length);
            }

            await FlushAsync(cancellationToken);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Sends a part of what was to be read, in a structured reply.</summary>
    /// <param name="request">The request.</param>
    /// <param name="slice">The part.</param>
    /// <param name="isLast">Whether nothing follows.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async ValueTask SliceAsync(
        NbdRequest request, NbdSlice slice, bool isLast, CancellationToken cancellationToken)
    {
        var isWhole = request.Flags.HasFlag(NbdCommandFlags.DontFragment);
        await _turn.WaitAsync(cancellationToken);
        try
        {
            if (isWhole)
            {
                Chunk(request, NbdChunkType.OffsetData, isLast, sizeof(ulong) + (int)request.Length);
                Offset(request.Offset);
            }

            for (var i = 0; i < slice.Runs.Count; i++)
            {
                var run = slice.Runs[i];
                if (isWhole)
                {
                    Bytes(run);
                    continue;
                }

                var ends = isLast && i == slice.Runs.Count - 1;
                if (run.IsZero)
                {
                    Chunk(request, NbdChunkType.OffsetHole, ends, sizeof(ulong) + sizeof(uint));
                    Offset((ulong)run.Offset);
                    BinaryPrimitives.WriteUInt32BigEndian(output.GetSpan(sizeof(uint)), (uint)run.Length);
                    output.Advance(sizeof(uint));
                }
                else
                {
                    Chunk(request, NbdChunkType.OffsetData, ends, sizeof(ulong) + run.Length);
                    Offset((ulong)run.Offset);
                    Bytes(run);
                }
            }

            await FlushAsync(cancellationToken);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Sends all that was to be read, in a simple reply: its head with the first slice, which is there. One
    /// that cannot be read after that ends the connection: the head has said that all is well.</summary>
    /// <param name="request">The request.</param>
    /// <param name="first">The first slice.</param>
    /// <param name="next">Reads the slice at an offset; null at the end.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async ValueTask SimpleAsync(
        NbdRequest request, NbdSlice first, Func<long, ValueTask<NbdSlice?>> next, CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken);
        try
        {
            Simple(request, NbdError.None);
            var sent = request.Start;
            for (var slice = first; slice is not null; slice = await next(sent))
            {
                using (slice)
                {
                    foreach (var run in slice.Runs)
                    {
                        Bytes(run);
                        sent += run.Length;
                    }
                }

                await FlushAsync(cancellationToken);
            }
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Sends which bytes are stored.</summary>
    /// <param name="request">The request.</param>
    /// <param name="context">The number by which the client knows <c>base:allocation</c>.</param>
    /// <param name="status">The runs, at least one.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async ValueTask StatusAsync(
        NbdRequest request, uint context, NbdStatus status, CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken);
        try
        {
            Status(request, context, status.Runs);
            await FlushAsync(cancellationToken);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _turn.Dispose();

    private void Status(NbdRequest request, uint context, ReadOnlySpan<NbdStatusRun> runs)
    {
        Chunk(request, NbdChunkType.BlockStatus, isLast: true, sizeof(uint) + (8 * runs.Length));
        BinaryPrimitives.WriteUInt32BigEndian(output.GetSpan(sizeof(uint)), context);
        output.Advance(sizeof(uint));
        foreach (var run in runs)
        {
            var span = output.GetSpan(8);
            BinaryPrimitives.WriteUInt32BigEndian(span, run.Length);
            BinaryPrimitives.WriteUInt32BigEndian(span[4..], run.Flags);
            output.Advance(8);
        }
    }

    private void Simple(NbdRequest request, NbdError error)
    {
        var span = output.GetSpan(SimpleHead);
        BinaryPrimitives.WriteUInt32BigEndian(span, NbdMagic.SimpleReply);
        BinaryPrimitives.WriteUInt32BigEndian(span[4..], (uint)error);
        BinaryPrimitives.WriteUInt64BigEndian(span[8..], request.Cookie);
        output.Advance(SimpleHead);
    }

    private void Chunk(NbdRequest request, NbdChunkType type, bool isLast, int length)
    {
        var span = output.GetSpan(ChunkHead);
        BinaryPrimitives.WriteUInt32BigEndian(span, NbdMagic.StructuredReply);
        BinaryPrimitives.WriteUInt16BigEndian(span[4..], isLast ? Done : (ushort)0);
        BinaryPrimitives.WriteUInt16BigEndian(span[6..], (ushort)type);
        BinaryPrimitives.WriteUInt64BigEndian(span[8..], request.Cookie);
        BinaryPrimitives.WriteUInt32BigEndian(span[16..], (uint)length);
        output.Advance(ChunkHead);
    }

    private void Offset(ulong offset)
    {
        BinaryPrimitives.WriteUInt64BigEndian(output.GetSpan(sizeof(ulong)), offset);
        output.Advance(sizeof(ulong));
    }

    private void Bytes(NbdRun run)
    {
        if (!run.IsZero)
        {
            output.Write(run.Content.Span);
            return;
        }

        for (var left = run.Length; left > 0; left -= NbdChunk.Bytes)
        {
            output.Write(Zeroes.AsSpan(0, Math.Min(left, NbdChunk.Bytes)));
        }
    }

    private async ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        try
        {
            var flush = output.FlushAsync(cancellationToken);
            var result = flush.IsCompleted
                ? await flush
                : await flush.AsTask().WaitAsync(patience, clock, cancellationToken);
            if (result.IsCompleted)
            {
                throw new NbdViolationException("the connection ended before its replies");
            }
        }
        catch (IOException e)
        {
            throw new NbdViolationException($"its replies could not be sent: {e.Message}"); // not the request's failure
        }
    }
}
