namespace Registry.Api.Nbd;

/// <summary>A disk as one connection has it: an image, read-only, or an image and what the client writes over
/// it.</summary>
/// <param name="disk">The image's disk; the export is one of its users.</param>
/// <param name="overlay">What is written over it; null for read-only.</param>
/// <param name="cache">Where the image's bytes come from.</param>
internal sealed class NbdExport(NbdDisk disk, NbdOverlay? overlay, NbdCache cache) : IAsyncDisposable
{
    private const long CacheRequestMax = 8 << 20;
    private const int PreferredBlockMax = 2 << 20;

    private readonly NbdReadAhead _ahead = new();

    /// <summary>The image.</summary>
    public NbdDisk Disk => disk;

    /// <summary>Bytes of the disk.</summary>
    public long Size => disk.Disk.VirtualSize;

    /// <summary>Whether it can be written to.</summary>
    public bool IsWritable => overlay is not null;

    /// <summary>Whether anything was written.</summary>
    public bool IsChanged => overlay is { IsChanged: true };

    /// <summary>No longer counts what was written against the project's quota: it becomes an image, which reserves room of
    /// its own.</summary>
    public void ReleaseQuota() => overlay?.ReleaseQuota();

    /// <summary>Bytes of a disk that are best read together.</summary>
    public static uint PreferredBlock(NbdDisk disk) =>
        (uint)Math.Clamp(disk.Disk.ClusterSize, NbdChunk.Bytes, PreferredBlockMax);

    /// <summary>What the export can do.</summary>
    /// <param name="isWritable">As an overlay, or read-only.</param>
    /// <param name="isStructured">Whether replies are structured.</param>
    public static NbdAbilities Abilities(bool isWritable, bool isStructured) =>
        NbdAbilities.HasFlags | NbdAbilities.SendCache
        | (isStructured ? NbdAbilities.SendDontFragment : 0)
        | (isWritable
            ? NbdAbilities.SendFlush | NbdAbilities.SendFua | NbdAbilities.SendTrim | NbdAbilities.SendWriteZeroes
            : NbdAbilities.ReadOnly | NbdAbilities.CanMultiConnect);

    /// <summary>Has bytes fetched that a request asks for, and those that will be asked for next. Called in the order
    /// of the requests.</summary>
    public void Expect(long offset, long length)
    {
        Want(offset, Math.Min(offset + length, offset + (NbdCache.RunChunks * NbdChunk.Bytes)));
        var (start, end) = _ahead.Note(offset, length);
        Want(start, end);
    }

    /// <summary>Has bytes fetched, as a client suggests.</summary>
    public void Prepare(long offset, long length) => Want(offset, offset + Math.Min(length, CacheRequestMax));

    /// <summary>Reads bytes.</summary>
    /// <param name="offset">First byte; all lie in the disk.</param>
    /// <param name="length">1 to <see cref="NbdSlice.MaxBytes"/>.</param>
    /// <param name="cancellationToken">Cancels the wait, not the reading.</param>
    /// <exception cref="IOException">The image could not be read.</exception>
    public async ValueTask<NbdSlice> ReadAsync(long offset, int length, CancellationToken cancellationToken)
    {
        var slice = new NbdSlice();
        var chunks = new NbdChunk?[(int)(((offset + length - 1) / NbdChunk.Bytes) - (offset / NbdChunk.Bytes)) + 1];
        var first = offset / NbdChunk.Bytes;
        try
        {
            TakeImage(first, chunks);
            for (var i = 0; i < chunks.Length; i++)
            {
                var number = first + i;
                var from = Math.Max(offset, number * NbdChunk.Bytes);
                var count = (int)(Math.Min(offset + length, (number + 1) * NbdChunk.Bytes) - from);
                if (chunks[i] is { } chunk)
                {
                    await chunk.Ready.WaitAsync(cancellationToken);
                    slice.Add(chunk, from, count);
                    chunks[i] = null; // the slice's now
                }
                else if (overlay!.OwnerOf(number) == NbdChunkOwner.Nobody)
                {
                    slice.AddZeroes(from, count);
                }
                else
                {
                    slice.Add(await overlay.ReadAsync(number, cancellationToken), from, count);
                }
            }

            return slice;
        }
        catch
        {
            slice.Dispose();
            throw;
        }
        finally
        {
            foreach (var chunk in chunks)
            {
                chunk?.RemoveUser();
            }
        }
    }

    /// <summary>Says which bytes are stored.</summary>
    /// <exception cref="Engine.Disks.ImageFormatException">The image is malformed there.</exception>
    /// <exception cref="IOException">What it says of itself could not be read.</exception>
    public async ValueTask<NbdStatus> StatusAsync(
        long offset, long length, bool onlyOne, CancellationToken cancellationToken)
    {
        var status = new NbdStatus(offset, length, onlyOne);
        if (length == 0)
        {
            return status;
        }

        await foreach (var extent in disk.Disk.MapAsync(offset, length, cancellationToken))
        {
            if (!Add(status, Math.Min(extent.End, offset + length), extent.IsStored))
            {
                break;
            }
        }

        return status;
    }

    /// <summary>Whether a chunk's bytes are stored, the image saying what it does.</summary>
    public bool IsStored(long number, bool byImage) => (overlay?.OwnerOf(number) ?? NbdChunkOwner.Image) switch
    {
        NbdChunkOwner.Image => byImage,
        var owner => owner == NbdChunkOwner.Overlay,
    };

    /// <summary>Writes bytes that lie within one chunk. Not for several threads at once, like all that
    /// follows.</summary>
    /// <exception cref="NbdRefusalException">NoSpace.</exception>
    /// <exception cref="IOException">The image could not be read, or the overlay not be written.</exception>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken) =>
        overlay!.WriteAsync(offset, data, ReadImageAsync, cancellationToken);

    /// <summary>Makes bytes zero.</summary>
    /// <param name="offset">First byte; all lie in the disk.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="onlyWhole">Whether chunks of which only a part is meant may stay as they are.</param>
    /// <param name="cancellationToken">Cancels; a part is zero by then.</param>
    /// <exception cref="NbdRefusalException">NoSpace.</exception>
    /// <exception cref="IOException">The image could not be read, or the overlay not be written.</exception>
    public ValueTask ZeroAsync(long offset, long length, bool onlyWhole, CancellationToken cancellationToken) =>
        overlay!.ZeroAsync(offset, length, onlyWhole, ReadImageAsync, cancellationToken);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (overlay is not null)
        {
            await overlay.DisposeAsync();
        }

        await disk.RemoveUserAsync();
    }

    /// <summary>Takes those chunks that are the image's; the others stay null.</summary>
    private void TakeImage(long first, NbdChunk?[] chunks)
    {
        for (var i = 0; i < chunks.Length;)
        {
            var until = i;
            while (until < chunks.Length && IsOfImage(first + until))
            {
                until++;
            }

            cache.Take(disk, first + i, chunks.AsSpan(i, until - i)!);
            i = until + 1;
        }
    }

    private bool IsOfImage(long number) => overlay is null || overlay.OwnerOf(number) == NbdChunkOwner.Image;

    private void Want(long start, long end)
    {
        end = Math.Min(end, Size);
        if (start < end)
        {
            cache.Want(disk, start / NbdChunk.Bytes, (end + NbdChunk.Bytes - 1) / NbdChunk.Bytes);
        }
    }

    private async ValueTask ReadImageAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var taken = new NbdChunk[1];
        cache.Take(disk, offset / NbdChunk.Bytes, taken);
        using var slice = new NbdSlice();
        try
        {
            await taken[0].Ready.WaitAsync(cancellationToken);
        }
        catch
        {
            taken[0].RemoveUser();
            throw;
        }

        slice.Add(taken[0], offset, buffer.Length);
        slice.CopyTo(buffer.Span);
    }

    /// <summary>Adds a run of the image, as far as it is not written over.</summary>
    private bool Add(NbdStatus status, long end, bool isStored)
    {
        if (overlay is null)
        {
            return status.Add(end, isStored);
        }

        while (status.Position < end)
        {
            var number = status.Position / NbdChunk.Bytes;
            if (!status.Add(Math.Min(end, (number + 1) * NbdChunk.Bytes), IsStored(number, isStored)))
            {
                return false;
            }
        }

        return true;
    }
}
