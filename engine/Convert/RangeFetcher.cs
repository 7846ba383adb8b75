using System.Runtime.ExceptionServices;
using Registry.Engine.Disks;

namespace Registry.Engine.Convert;

/// <summary>Fetches ranges and decodes what is compressed in them; the first failure stops all others.</summary>
/// <param name="image">The disk.</param>
/// <param name="start">First guest byte wanted.</param>
/// <param name="end">First guest byte not wanted.</param>
/// <param name="totals">Counters.</param>
/// <param name="stop">Cancelled by the first failure.</param>
internal sealed class RangeFetcher(
    DiskImage image, long start, long end, DiskReadTotals totals, CancellationTokenSource stop)
{
    /// <summary>Decoded neighbours are handed out together up to this many bytes.</summary>
    private const int MaxDecodedPieceBytes = 1 << 20;

    private ExceptionDispatchInfo? failure;

    /// <summary>Starts one range in the background.</summary>
    public Task<DiskPiece[]> Start(ReadRange range)
    {
        if (range.ZeroLength > 0)
        {
            return Task.FromResult<DiskPiece[]>([new DiskPiece(range.ZeroStart, range.ZeroLength)]);
        }

        return Task.Run(() => FetchAsync(range), CancellationToken.None);
    }

    /// <summary>Fetches one range on the caller's thread, as far as its source does.</summary>
    public async ValueTask<DiskPiece[]> FetchHereAsync(ReadRange range) => range.ZeroLength > 0
        ? [new DiskPiece(range.ZeroStart, range.ZeroLength)]
        : await FetchAsync(range).ConfigureAwait(false);

    /// <summary>Waits for a range. Throws what failed first, in whichever range that was.</summary>
    public async ValueTask<DiskPiece[]> ResultAsync(Task<DiskPiece[]> task)
    {
        try
        {
            return await task.ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            ThrowFailure();
            throw;
        }
    }

    /// <summary>Notes a failure, unless another one came first or it only follows from one.</summary>
    public void Fail(Exception exception)
    {
        if (exception is not OperationCanceledException || !stop.IsCancellationRequested)
        {
            Interlocked.CompareExchange(ref failure, ExceptionDispatchInfo.Capture(exception), null);
        }
    }

    /// <summary>Throws what failed first, if anything has.</summary>
    public void ThrowFailure() => Volatile.Read(ref failure)?.Throw();

    private async Task<DiskPiece[]> FetchAsync(ReadRange range)
    {
        using var parts = range;
        var stored = new PieceBuffer(range.Length, totals);
        try
        {
            stop.Token.ThrowIfCancellationRequested();
            for (var i = 0; i < range.Reads.Length; i++)
            {
                await FillAsync(range.Reads.Span[i], stored.Memory).ConfigureAwait(false);
            }

            return Cut(range, stored);
        }
        catch (Exception e) when (e is not OperationCanceledException || !stop.IsCancellationRequested)
        {
            Fail(e);
            await stop.CancelAsync().ConfigureAwait(false);
            throw;
        }
        finally
        {
            stored.RemoveUser();
        }
    }

    private async ValueTask FillAsync(LayerRead read, Memory<byte> buffer)
    {
        var target = buffer.Slice(read.Position, read.Length);
        var layer = image.Layer(read.Depth);
        var count = await layer.ReadAsync(read.Offset, target, stop.Token).ConfigureAwait(false);
        if (count < read.Length)
        {
            throw new EndOfStreamException($"The image's bytes end before {read.Offset + read.Length}.");
        }

        totals.AddFetched(count);
    }

    private DiskPiece[] Cut(ReadRange range, PieceBuffer stored)
    {
        var parts = range.Parts;
        if (range.CompressedParts > 0)
        {
            // Neighbours on the disk are then neighbours in the buffer too, and leave as one piece.
            parts.Sort(static (a, b) => a.Extent.Start.CompareTo(b.Extent.Start));
        }

        var decoded = range.CompressedParts == 0
            ? null
            : new PieceBuffer(range.CompressedParts * image.ClusterSize, totals);
        var pieces = new List<DiskPiece>();
        try
        {
            var used = 0;
            for (var i = 0; i < parts.Length;)
            {
                if (parts[i].Extent.Kind == ExtentKind.Compressed)
                {
                    var run = DecodeRun(parts[i..], stored, decoded!.Memory[used..]);
                    AddPiece(pieces, parts[i].Extent.Start, decoded.Memory[used..(used + run.Bytes)], decoded);
                    used += run.Clusters * image.ClusterSize;
                    i += run.Clusters;
                }
                else
                {
                    var (count, length) = PlainRun(parts[i..]);
                    AddPiece(pieces, parts[i].Extent.Start, stored.Memory.Slice(parts[i].Position, length), stored);
                    i += count;
                }
            }

            return [.. pieces];
        }
        catch
        {
            pieces.ForEach(static piece => piece.Dispose());
            throw;
        }
        finally
        {
            decoded?.RemoveUser();
        }
    }

    /// <summary>Plain parts that follow each other on the disk and in the buffer.</summary>
    private static (int Count, int Length) PlainRun(ReadOnlySpan<RangePart> parts)
    {
        var length = (int)parts[0].Extent.Length;
        var count = 1;
        while (count < parts.Length
            && parts[count].Extent.Kind == ExtentKind.Data
            && parts[count].Extent.Start == parts[0].Extent.Start + length
            && parts[count].Position == parts[0].Position + length)
        {
            length += (int)parts[count++].Extent.Length;
        }

        return (count, length);
    }

    /// <summary>Decodes compressed clusters that follow each other on the disk.</summary>
    private (int Clusters, int Bytes) DecodeRun(
        ReadOnlySpan<RangePart> parts, PieceBuffer stored, Memory<byte> target)
    {
        var clusters = 0;
        var bytes = 0;
        while (clusters < parts.Length
            && parts[clusters].Extent.Kind == ExtentKind.Compressed
            && parts[clusters].Extent.Start == parts[0].Extent.Start + bytes
            && (clusters == 0 || bytes + image.ClusterSize <= MaxDecodedPieceBytes))
        {
            stop.Token.ThrowIfCancellationRequested();
            var (part, position) = parts[clusters];
            var length = (int)Math.Min(part.StoredLength, stored.Memory.Length - position);
            image.Decode(
                stored.Memory.Span.Slice(position, length), target.Span.Slice(bytes, image.ClusterSize),
                (int)part.Length);
            bytes += (int)part.Length;
            clusters++;
        }

        return (clusters, bytes);
    }

    /// <summary>Adds a piece, clipped to what was asked for.</summary>
    private void AddPiece(List<DiskPiece> pieces, long guest, ReadOnlyMemory<byte> content, PieceBuffer buffer)
    {
        var skip = (int)Math.Clamp(start - guest, 0, content.Length);
        var keep = (int)Math.Clamp(end - guest, 0, content.Length);
        if (skip >= keep)
        {
            return;
        }

        pieces.Add(new DiskPiece(guest + skip, content[skip..keep], buffer));
        totals.AddYielded(keep - skip);
    }
}
