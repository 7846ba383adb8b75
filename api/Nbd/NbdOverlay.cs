using Registry.Engine.Bytes;

namespace Registry.Api.Nbd;

/// <summary>What a client wrote over an image, in chunks: kept in a file without a name, and gone with the
/// connection.</summary>
/// <remarks>A chunk's bytes are in the file before it is said that they are; changes are made one after the other,
/// reads come in between at any time.</remarks>
internal sealed class NbdOverlay : IAsyncDisposable
{
    private const int PageChunks = 4096;

    /// <summary>A disk of a TiB.</summary>
    private const int PagesMax = 4096;

    private static readonly byte[] Zeroes = new byte[NbdChunk.Bytes];

    private readonly Lock _lock = new();
    private readonly Dictionary<long, NbdChunkOwner[]> _pages = [];
    private readonly FileBytes _file;
    private readonly long _size;
    private readonly long _chunksMax;
    private readonly NbdOverlayRoom? _room;
    private long _chunks;

    private NbdOverlay(FileBytes file, long size, long maxBytes, NbdOverlayRoom? room) =>
        (_file, _size, _chunksMax, _room) = (file, size, maxBytes / NbdChunk.Bytes, room);

    /// <summary>Makes an empty overlay.</summary>
    /// <param name="directory">Where; empty for the system's temporary directory.</param>
    /// <param name="size">Bytes of the disk.</param>
    /// <param name="maxBytes">Most bytes kept.</param>
    /// <param name="room">The room that it shares with others, which it disposes; null for no limit but its own.</param>
    /// <exception cref="IOException">No file can be made there.</exception>
    public static NbdOverlay Create(string directory, long size, long maxBytes, NbdOverlayRoom? room = null)
    {
        var path = Path.Combine(
            directory.Length > 0 ? directory : Path.GetTempPath(), $"registry-overlay-{Guid.NewGuid():N}");
        var file = FileBytes.CreateNew(path);
        File.Delete(path); // the open file stays, and goes with its process however that ends
        return new NbdOverlay(file, size, maxBytes, room);
    }

    /// <summary>Whether anything was written.</summary>
    public bool IsChanged
    {
        get
        {
            lock (_lock)
            {
                return _pages.Count > 0;
            }
        }
    }

    /// <summary>Whose a chunk's bytes are.</summary>
    public NbdChunkOwner OwnerOf(long number)
    {
        lock (_lock)
        {
            return _pages.TryGetValue(number / PageChunks, out var page)
                ? page[number % PageChunks]
                : NbdChunkOwner.Image;
        }
    }

    /// <summary>Reads a chunk of its own.</summary>
    public async ValueTask<NbdChunk> ReadAsync(long number, CancellationToken cancellationToken)
    {
        var chunk = new NbdChunk { Number = number };
        await _file.ReadAsync(number * NbdChunk.Bytes, chunk.Rent(0, NbdChunk.Bytes), cancellationToken);
        return chunk; // what the file ends before is zero, like the rest of its holes
    }

    /// <summary>Writes bytes within one chunk.</summary>
    /// <param name="offset">First byte of the disk.</param>
    /// <param name="data">The bytes.</param>
    /// <param name="readImage">Reads the image's bytes at an offset.</param>
    /// <param name="cancellationToken">Cancels; the chunk is then as it was, or written to.</param>
    /// <exception cref="NbdRefusalException">NoSpace.</exception>
    public async ValueTask WriteAsync(
        long offset, ReadOnlyMemory<byte> data, Func<long, Memory<byte>, CancellationToken, ValueTask> readImage,
        CancellationToken cancellationToken)
    {
        var number = offset / NbdChunk.Bytes;
        var start = number * NbdChunk.Bytes;
        var length = (int)Math.Min(NbdChunk.Bytes, _size - start);
        var owner = OwnerOf(number);
        if (owner != NbdChunkOwner.Overlay)
        {
            await RequireRoomAsync(number, newChunks: 1, cancellationToken);
        }

        if (owner == NbdChunkOwner.Image && data.Length < length)
        {
            var whole = new NbdChunk { Number = number };
            try
            {
                var bytes = whole.Rent(0, length);
                await readImage(start, bytes, cancellationToken);
                data.CopyTo(bytes[(int)(offset - start)..]);
                await _file.WriteAsync(start, bytes, cancellationToken);
            }
            finally
            {
                whole.RemoveUser();
            }
        }
        else
        {
            await _file.WriteAsync(offset, data, cancellationToken);
        }

        SetOwner(number, NbdChunkOwner.Overlay);
    }

    /// <summary>Makes bytes zero.</summary>
    /// <param name="offset">First byte of the disk.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="onlyWhole">Whether chunks of which a part is meant stay as they are.</param>
    /// <param name="readImage">Reads the image's bytes at an offset.</param>
    /// <param name="cancellationToken">Cancels; a part is zero by then.</param>
    /// <exception cref="NbdRefusalException">NoSpace.</exception>
    public async ValueTask ZeroAsync(
        long offset, long length, bool onlyWhole, Func<long, Memory<byte>, CancellationToken, ValueTask> readImage,
        CancellationToken cancellationToken)
    {
        for (var (at, end) = (offset, offset + length); at < end;)
        {
            var number = at / NbdChunk.Bytes;
            var chunkEnd = Math.Min(_size, (number + 1) * NbdChunk.Bytes);
            var until = Math.Min(end, chunkEnd);
            if (at == number * NbdChunk.Bytes && until == chunkEnd)
            {
                await ZeroChunkAsync(number, cancellationToken);
            }
            else if (!onlyWhole && OwnerOf(number) != NbdChunkOwner.Nobody)
            {
                await WriteAsync(at, Zeroes.AsMemory(0, (int)(until - at)), readImage, cancellationToken);
            }

            at = until;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        using (_room)
        {
            await _file.DisposeAsync();
        }
    }

    /// <summary>No longer counts what was written against the project's quota: it becomes an image, which reserves room of
    /// its own.</summary>
    public void ReleaseQuota() => _room?.ReleaseQuota();

    private async ValueTask ZeroChunkAsync(long number, CancellationToken cancellationToken)
    {
        var owner = OwnerOf(number);
        await RequireRoomAsync(number, newChunks: 0, cancellationToken);
        SetOwner(number, NbdChunkOwner.Nobody);
        if (owner == NbdChunkOwner.Overlay)
        {
            await _file.ZeroAsync(number * NbdChunk.Bytes, NbdChunk.Bytes, cancellationToken);
        }
    }

    private async ValueTask RequireRoomAsync(long number, int newChunks, CancellationToken cancellationToken)
    {
        long chunks;
        long pages;
        lock (_lock)
        {
            chunks = _chunks + newChunks;
            pages = _pages.Count + (_pages.ContainsKey(number / PageChunks) ? 0 : 1);
        }

        if (chunks > _chunksMax || pages > PagesMax)
        {
            throw new NbdRefusalException(NbdError.NoSpace, "The overlay is full.");
        }

        if (_room is not null)
        {
            await _room.RequireAsync(chunks * NbdChunk.Bytes, pages, PageChunks, cancellationToken);
        }
    }

    private void SetOwner(long number, NbdChunkOwner owner)
    {
        lock (_lock)
        {
            if (!_pages.TryGetValue(number / PageChunks, out var page))
            {
                _pages.Add(number / PageChunks, page = new NbdChunkOwner[PageChunks]);
            }

            ref var known = ref page[number % PageChunks];
            _chunks += (owner == NbdChunkOwner.Overlay ? 1 : 0) - (known == NbdChunkOwner.Overlay ? 1 : 0);
            known = owner;
        }
    }
}

/// <summary>Whose a chunk's bytes are.</summary>
internal enum NbdChunkOwner : byte
{
    /// <summary>The image's.</summary>
    Image,

    /// <summary>The overlay's file's.</summary>
    Overlay,

    /// <summary>They are zeroes.</summary>
    Nobody,
}
