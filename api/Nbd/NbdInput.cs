using System.Buffers;

namespace Registry.Api.Nbd;

/// <summary>What a client sends.</summary>
/// <param name="channel">The connection's bytes.</param>
internal sealed class NbdInput(NbdChannel channel)
{
    /// <summary>Fills a buffer.</summary>
    /// <returns>False where the client ended the connection before.</returns>
    public async ValueTask<bool> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        while (!buffer.IsEmpty)
        {
            var read = await channel.Input.ReadAsync(cancellationToken);
            var taken = read.Buffer.Slice(0, Math.Min(buffer.Length, read.Buffer.Length));
            taken.CopyTo(buffer.Span);
            buffer = buffer[(int)taken.Length..];
            channel.Input.AdvanceTo(taken.End);
            if (read.IsCompleted && !buffer.IsEmpty)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Fills a buffer with what a client has announced and must not keep back.</summary>
    /// <exception cref="NbdViolationException">It ended the connection instead, or did nothing for that
    /// long.</exception>
    public async ValueTask FillAsync(Memory<byte> buffer, TimeSpan patience, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(patience);
        try
        {
            if (!await FillAsync(buffer, limit.Token))
            {
                throw new NbdViolationException("a message was cut off");
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new NbdViolationException("a message was begun and not ended");
        }
    }
}
