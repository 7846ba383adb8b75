using System.Runtime.CompilerServices;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <content>From tables to extents.</content>
public sealed partial class QcowImage : IChainLayer
{
    /// <summary>L2 entries decoded between two hand-overs: bounds the extents held, subclusters included.</summary>
    private const int SliceEntries = 1024;

    /// <inheritdoc/>
    DiskImage IChainLayer.Own => new OwnDisk(this);

    /// <inheritdoc/>
    IByteSource IChainLayer.OwnBytes => OwnBytes;

    /// <inheritdoc/>
    int IChainLayer.Granularity => Header.L2EntrySize == 16 ? ClusterSize / 32 : ClusterSize;

    /// <summary>The bytes that this image's own extents are stored in, decrypted.</summary>
    private IByteSource OwnBytes => plain ?? DataFile ?? Source;

    /// <inheritdoc/>
    public override IAsyncEnumerable<Extent> MapAsync(long start, long length, CancellationToken cancellationToken)
    {
        CheckRange(start, length);
        if (isMetadataOnly || (Header.CryptMethod != 0 && Cipher is null))
        {
            throw new InvalidOperationException("The image was opened for what it says of itself only.");
        }

        return Chain is { } images
            ? images.MapAsync(start, length, isExact: false, cancellationToken)
            : OwnAsync(start, length, isExact: false, cancellationToken);
    }

    /// <inheritdoc/>
    long IChainLayer.NextPresent(long from)
    {
        var index = (int)(from / Header.L2Coverage);
        if (index >= l1.Length)
        {
            return VirtualSize;
        }

        var absent = AbsentRun(index, l1.Length - 1);
        return absent == 0 ? from : Math.Min(VirtualSize, (index + absent) * Header.L2Coverage);
    }

    /// <inheritdoc/>
    async ValueTask IChainLayer.AddOwnAsync(
        ChainRequest request, List<Extent> found, CancellationToken cancellationToken)
    {
        var decoder = new L2Decoder(View(request.IsExact), audit: null);
        using var slice = new L2Slice(Source, Header, request);
        foreach (var range in request.Ranges)
        {
            decoder.Begin(range.Start, range.End);
            for (var position = range.Start; position < range.End;)
            {
                var index = (int)(position / Header.L2Coverage);
                if (index >= l1.Length || new L1Entry(l1[index]).Offset == 0)
                {
                    var next = Math.Min(range.End, ((IChainLayer)this).NextPresent(position));
                    next = index >= l1.Length ? range.End : next;
                    decoder.AddHole(position, next - position);
                    position = next;
                    continue;
                }

                var (first, end) = decoder.EntriesNeeded(index);
                while (first < end)
                {
                    var entries = await slice.EntriesAsync(l1, index, first, end, cancellationToken)
                        .ConfigureAwait(false);
                    var guest = (index * Header.L2Coverage) + ((long)first << (int)Header.ClusterBits);
                    decoder.Decode(entries.Span, guest);
                    first += entries.Length / Header.L2EntrySize;
                }

                position = (index + 1L) * Header.L2Coverage;
            }

            foreach (var extent in decoder.Finish())
            {
                found.Add(Cut(extent, range));
            }

            decoder.Ready.Clear();
        }
    }

    /// <summary>A compressed extent may stick out of the range: then it is only a part of a cluster.</summary>
    private static Extent Cut(Extent extent, GuestRange range)
    {
        if (extent.Start >= range.Start && extent.End <= range.End)
        {
            return extent;
        }

        var start = Math.Max(extent.Start, range.Start);
        return extent with { Start = start, Length = Math.Min(extent.End, range.End) - start, StoredLength = -1 };
    }

    private L2View View(bool isExact) => new(
        Header,
        VirtualSize,
        FileLength: Source.Length,
        DataLength: (DataFile ?? Source).Length,
        IsStrict: limits.RejectSharedClusters,
        IsExact: isExact,
        IsByGuest: IsCipherByGuest && !isExact);

    private IAsyncEnumerable<Extent> OwnExactAsync(long start, long length, CancellationToken cancellationToken) =>
        OwnAsync(start, length, isExact: true, cancellationToken);

    /// <summary>What this image says by itself.</summary>
    private async IAsyncEnumerable<Extent> OwnAsync(
        long start, long length, bool isExact, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        ClusterAudit? audit = null;
        if (limits.RejectSharedClusters && length == VirtualSize && Snapshot is null && DataFile is null)
        {
            audit = await ClusterAudit.StartAsync(Source, Header, Extensions, limits, l1, cancellationToken)
                .ConfigureAwait(false);
        }

        if (length == 0)
        {
            yield break;
        }

        var decoder = new L2Decoder(View(isExact), audit);
        decoder.Begin(start, start + length);
        using var window = new L2Window(Source, Header, l1, tables);
        var last = (int)((start + length - 1) / Header.L2Coverage);
        for (var index = (int)(start / Header.L2Coverage); index <= last;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var absent = AbsentRun(index, last);
            if (absent > 0)
            {
                decoder.AddHole(index * Header.L2Coverage, absent * Header.L2Coverage);
                index += absent;
                continue;
            }

            var table = await window.TableAsync(index, Math.Min(last, l1.Length - 1), cancellationToken)
                .ConfigureAwait(false);
            var (first, end) = decoder.EntriesNeeded(index);
            while (first < end)
            {
                var count = Math.Min(SliceEntries, end - first);
                var entries = table.Slice(first * Header.L2EntrySize, count * Header.L2EntrySize);
                decoder.Decode(entries.Span, (index * Header.L2Coverage) + ((long)first << (int)Header.ClusterBits));
                first += count;
                for (var i = 0; i < decoder.Ready.Count; i++)
                {
                    yield return decoder.Ready[i];
                }

                decoder.Ready.Clear();
            }

            index++;
        }

        audit?.Finish();
        foreach (var extent in decoder.Finish())
        {
            yield return extent;
        }
    }

    /// <summary>How many L1 entries from <paramref name="index"/> on have no L2 table; a snapshot's table may end
    /// before
    /// its disk does.</summary>
    private int AbsentRun(int index, int last)
    {
        for (var end = index; end <= last;)
        {
            var present = end < l1.Length ? l1.AsSpan(end, Math.Min(l1.Length, last + 1) - end).IndexOfAnyExcept(0UL) : -1;
            if (present < 0)
            {
                return last + 1 - index;
            }

            end += present;
            if (new L1Entry(l1[end]).Offset != 0)
            {
                return end - index;
            }

            end++; // only reserved bits are set
        }

        return last + 1 - index;
    }

    /// <summary>This image as if nothing were below it.</summary>
    private sealed class OwnDisk(QcowImage image) : DiskImage
    {
        public override DiskFormat Format => DiskFormat.Qcow2;

        public override long VirtualSize => image.VirtualSize;

        public override int ClusterSize => image.ClusterSize;

        public override ClusterCompression Compression => image.Compression;

        public override IByteSource Layer(int depth) => image.OwnBytes;

        public override IAsyncEnumerable<Extent> MapAsync(
            long start, long length, CancellationToken cancellationToken) =>
            image.OwnAsync(start, length, isExact: false, cancellationToken);
    }
}
