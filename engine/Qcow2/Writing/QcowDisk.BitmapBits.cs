using System.Buffers.Binary;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

/// <content>Recording writes in bitmaps, and storing them.</content>
public sealed partial class QcowDisk
{
    private readonly Dictionary<StoredBitmap, int> positions = [];
    private readonly List<StoredBitmap> abandoned = [];

    /// <summary>Clusters that are free once the new directory is in force.</summary>
    private readonly List<(long First, long Count)> outdated = [];
    private (long Offset, long Length) directory;

    /// <summary>Records a change of guest bytes in every bitmap that is enabled, before it happens.</summary>
    private async ValueTask BeforeChangeAsync(long offset, long length, CancellationToken cancellationToken)
    {
        if (bitmaps is null && area[HeaderArea.Bitmaps] is null)
        {
            return;
        }

        await LoadBitmapsAsync(cancellationToken).ConfigureAwait(false);
        foreach (var bitmap in bitmaps!)
        {
            if (bitmap.IsEnabled)
            {
                await MarkInUseAsync(bitmap, cancellationToken).ConfigureAwait(false);
                await MarkAsync(bitmap, offset, length, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Records that the whole disk changed.</summary>
    private ValueTask DirtyAllBitmapsAsync(CancellationToken cancellationToken) =>
        VirtualSize == 0 ? ValueTask.CompletedTask : BeforeChangeAsync(0, VirtualSize, cancellationToken);

    /// <summary>Gives all bitmaps as many bits as a disk of another size needs; new ones are clear.</summary>
    private async ValueTask ResizeBitmapsAsync(long size, CancellationToken cancellationToken)
    {
        if (bitmaps is null && area[HeaderArea.Bitmaps] is null)
        {
            return;
        }

        await LoadBitmapsAsync(cancellationToken).ConfigureAwait(false);
        foreach (var bitmap in bitmaps!)
        {
            var entries = StoredBitmap.EntriesFor(size, bitmap.GranularityBits, ClusterSize);
            Refuse(
                bitmap.IsInconsistent,
                $"Bitmap '{bitmap.Name}' is inconsistent: the image cannot be resized. Remove it.");
            Refuse(size == 0, "A disk of no bytes cannot have bitmaps.");
            Refuse(entries * ClusterSize > MaxBitmapBytes, $"Bitmap '{bitmap.Name}' would get too large.");
        }

        foreach (var bitmap in bitmaps)
        {
            await MarkInUseAsync(bitmap, cancellationToken).ConfigureAwait(false);
            await ResizeBitmapAsync(bitmap, size, cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask ResizeBitmapAsync(StoredBitmap bitmap, long size, CancellationToken cancellationToken)
    {
        await LoadTableAsync(bitmap, cancellationToken).ConfigureAwait(false);
        var bits = ((size - 1) >> bitmap.GranularityBits) + 1;
        var oldBits = VirtualSize == 0 ? 0 : ((VirtualSize - 1) >> bitmap.GranularityBits) + 1;
        var perChunk = ClusterSize * 8L;
        var entries = (int)StoredBitmap.EntriesFor(size, bitmap.GranularityBits, ClusterSize);
        for (var i = entries; i < bitmap.Table!.Length; i++)
        {
            ReleaseChunk(bitmap, i);
        }

        bitmap.ForgetChunksFrom(entries);
        var kept = Math.Min(entries, bitmap.Table.Length);
        bitmap.Table = [.. bitmap.Table.AsSpan(0, kept), .. new ulong[entries - kept]];
        bitmap.IsChanged = true;

        // Bits that no longer stand for anything, or not yet, are clear.
        var (from, until) = (Math.Min(bits, oldBits), Math.Min(Math.Max(bits, oldBits), kept * perChunk));
        while (from < until)
        {
            var chunk = (int)(from / perChunk);
            var count = (int)Math.Min(until - from, perChunk - (from % perChunk));
            await LoadChunkAsync(bitmap, chunk, cancellationToken).ConfigureAwait(false);
            bitmap.Fill(chunk, (int)(from % perChunk), count, value: false);
            from += count;
        }
    }

    /// <summary>Sets the bits of a guest range.</summary>
    private async ValueTask MarkAsync(
        StoredBitmap bitmap, long offset, long length, CancellationToken cancellationToken)
    {
        if (length <= 0)
        {
            return;
        }

        await LoadTableAsync(bitmap, cancellationToken).ConfigureAwait(false);
        var perChunk = ClusterSize * 8L;
        var end = ((offset + length - 1) >> bitmap.GranularityBits) + 1;
        for (var bit = offset >> bitmap.GranularityBits; bit < end;)
        {
            var chunk = (int)(bit / perChunk);
            var count = (int)Math.Min(end - bit, perChunk - (bit % perChunk));
            await LoadChunkAsync(bitmap, chunk, cancellationToken).ConfigureAwait(false);
            bitmap.Fill(chunk, (int)(bit % perChunk), count, value: true);
            bit += count;
        }
    }

    /// <summary>Says on disk that a bitmap lags behind from now on: a crash must not leave it looking right.</summary>
    private async ValueTask MarkInUseAsync(StoredBitmap bitmap, CancellationToken cancellationToken)
    {
        if (bitmap.Flags.HasFlag(QcowBitmapFlags.InUse) || !positions.TryGetValue(bitmap, out var position))
        {
            return;
        }

        bitmap.Flags |= QcowBitmapFlags.InUse;
        var flags = new byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(flags, (uint)bitmap.Flags);
        await file.WriteAsync(directory.Offset + position + 12, flags, cancellationToken).ConfigureAwait(false);
        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
        bitmap.IsChanged = true;
    }

    private async ValueTask LoadTableAsync(StoredBitmap bitmap, CancellationToken cancellationToken)
    {
        if (bitmap.Table is not null)
        {
            return;
        }

        if (bitmap.TableOffset > file.Length - (bitmap.TableEntries * 8L)
            || bitmap.TableEntries * (long)ClusterSize > MaxBitmapBytes + ClusterSize)
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, $"The table of bitmap '{bitmap.Name}' lies outside the file.");
        }

        bitmap.Table = await ReadWordsAsync(bitmap.TableOffset, bitmap.TableEntries, cancellationToken)
            .ConfigureAwait(false);
    }

    private async ValueTask LoadChunkAsync(StoredBitmap bitmap, int index, CancellationToken cancellationToken)
    {
        if (bitmap.Chunks.ContainsKey(index))
        {
            return;
        }

        byte[]? bytes = null;
        if (bitmap.ChunkOffset(index) is var offset and not 0)
        {
            bytes = new byte[ClusterSize];
            if (await file.ReadAsync(offset, bytes, cancellationToken).ConfigureAwait(false) < bytes.Length)
            {
                throw new ImageFormatException(
                    FormatError.OutsideFile, $"The bits of bitmap '{bitmap.Name}' lie outside the file.");
            }
        }

        bitmap.AddChunk(index, bytes, ClusterSize);
    }

    /// <summary>Takes a chunk out of the table; its bits are clear.</summary>
    private void ReleaseChunk(StoredBitmap bitmap, int index)
    {
        if (bitmap.ChunkOffset(index) is var offset and not 0)
        {
            outdated.Add((offset >> clusterBits, 1));
        }

        bitmap.Table![index] = 0;
    }

    /// <summary>Stores every bitmap that changed and a new directory, then says so in the header.</summary>
    private async ValueTask StoreBitmapsAsync(CancellationToken cancellationToken)
    {
        foreach (var bitmap in bitmaps!)
        {
            if (!bitmap.IsInconsistent)
            {
                bitmap.Flags &= ~QcowBitmapFlags.InUse;
            }

            if (bitmap.IsChanged)
            {
                await StoreBitmapAsync(bitmap, cancellationToken).ConfigureAwait(false);
            }
        }

        foreach (var bitmap in abandoned)
        {
            for (var i = 0; i < bitmap.Table!.Length; i++)
            {
                ReleaseChunk(bitmap, i);
            }

            ReleaseTable(bitmap);
        }

        abandoned.Clear();
        await StoreDirectoryAsync(cancellationToken).ConfigureAwait(false);
        foreach (var (first, count) in outdated)
        {
            refcounts.Release(first, count);
        }

        outdated.Clear();
        await CommitAsync(cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask StoreBitmapAsync(StoredBitmap bitmap, CancellationToken cancellationToken)
    {
        foreach (var (index, bits) in bitmap.Chunks)
        {
            ReleaseChunk(bitmap, index);
            if (bits.AsSpan().ContainsAnyExcept((byte)0))
            {
                bitmap.Table![index] =
                    (ulong)await StoreAsync(bits, cancellationToken).ConfigureAwait(false) << clusterBits;
            }
        }

        ReleaseTable(bitmap);
        var table = await StoreTableAsync(bitmap.Table!, cancellationToken).ConfigureAwait(false);
        bitmap.TableOffset = table << clusterBits;
        bitmap.TableEntries = bitmap.Table!.Length;
        bitmap.ForgetChunks();
        bitmap.IsChanged = false;
    }

    private void ReleaseTable(StoredBitmap bitmap)
    {
        if (bitmap.TableOffset != 0)
        {
            outdated.Add((bitmap.TableOffset >> clusterBits, ClustersFor(bitmap.TableEntries * 8L)));
        }
    }

    private async ValueTask StoreDirectoryAsync(CancellationToken cancellationToken)
    {
        var bytes = new byte[bitmaps!.Sum(static bitmap => bitmap.StoredBytes)];
        positions.Clear();
        var at = 0;
        foreach (var bitmap in bitmaps!)
        {
            bitmap.WriteTo(bytes.AsSpan(at));
            positions.Add(bitmap, at);
            at += bitmap.StoredBytes;
        }

        if (directory.Length > 0)
        {
            outdated.Add((directory.Offset >> clusterBits, ClustersFor(directory.Length)));
        }

        byte[]? place = null;
        directory = default;
        if (bytes.Length > 0)
        {
            directory = (await StoreAsync(bytes, cancellationToken).ConfigureAwait(false) << clusterBits, bytes.Length);
            place = new byte[24];
            BinaryPrimitives.WriteInt32BigEndian(place, bitmaps.Count);
            BinaryPrimitives.WriteInt64BigEndian(place.AsSpan(8), directory.Length);
            BinaryPrimitives.WriteInt64BigEndian(place.AsSpan(16), directory.Offset);
        }

        area[HeaderArea.Bitmaps] = place;
        var autoclear = place is null
            ? header.Autoclear & ~QcowAutoclear.Bitmaps
            : header.Autoclear | QcowAutoclear.Bitmaps;
        await WriteAreaAsync(header with { Autoclear = autoclear }, cancellationToken).ConfigureAwait(false);
    }
}
