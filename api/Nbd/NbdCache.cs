using Registry.Api.Memory;
using Registry.Api.Provisioning;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Storage.Blobs;

namespace Registry.Api.Nbd;

/// <summary>What was read last of all exported disks, verified, and what is being read: whoever wants the same waits
/// for the one read.</summary>
/// <remarks>Keeps 1,024 chunks, fewer where memory is short, and in addition what requests are at. Reads that no request
/// waits for yet are refused while half as many are under way.</remarks>
/// <param name="shares">Of the memory there is for reading; each read takes one.</param>
/// <param name="memory">Charged for what is kept.</param>
internal sealed class NbdCache(ReadShares shares, ProcessMemory memory)
{
    /// <summary>Longest read, in chunks: 2 MiB.</summary>
    public const int RunChunks = 32;

    private const int KeptChunksLeast = 64;
    private const int KeptChunksMost = 1024;
    private const int KeptShare = 16; // of the memory of buffers

    private readonly int _keptMax = (int)Math.Clamp(
        memory.Whole.Bytes / KeptShare / NbdChunk.Bytes, KeptChunksLeast, KeptChunksMost);

    private readonly Lock _lock = new();
    private readonly LinkedList<(NbdDisk Disk, NbdChunk Chunk)> _lastUsedFirst = [];
    private int _keptChunks;
    private int _chunksUnderWay;

    /// <summary>Takes chunks, and has those read that are not at hand.</summary>
    /// <param name="disk">The disk; the caller is one of its users.</param>
    /// <param name="first">First chunk.</param>
    /// <param name="taken">Receives the chunks; the caller becomes a user of each, to be waited for and left.</param>
    public void Take(NbdDisk disk, long first, Span<NbdChunk> taken)
    {
        var missing = new List<NbdChunk>();
        lock (_lock)
        {
            for (var i = 0; i < taken.Length; i++)
            {
                taken[i] = GetOrAdd(disk, first + i, missing);
                taken[i].AddUser();
            }

            AddNeighbours(disk, first, first + taken.Length, missing);
        }

        Start(disk, missing);
    }

    /// <summary>Has chunks read before they are asked for, unless too much is under way.</summary>
    /// <param name="disk">The disk; the caller is one of its users.</param>
    /// <param name="first">First chunk.</param>
    /// <param name="end">First chunk not wanted.</param>
    public void Want(NbdDisk disk, long first, long end)
    {
        var missing = new List<NbdChunk>();
        lock (_lock)
        {
            for (var number = first; number < end && _chunksUnderWay < _keptMax / 2; number++)
            {
                GetOrAdd(disk, number, missing);
            }

            AddNeighbours(disk, first, end, missing);
        }

        Start(disk, missing);
    }

    /// <summary>Forgets a disk that nobody uses.</summary>
    public void Forget(NbdDisk disk)
    {
        lock (_lock)
        {
            foreach (var node in disk.Chunks.Values)
            {
                Drop(node);
            }

            disk.Chunks.Clear();
        }
    }

    private NbdChunk GetOrAdd(NbdDisk disk, long number, List<NbdChunk> missing)
    {
        if (disk.Chunks.TryGetValue(number, out var node))
        {
            _lastUsedFirst.Remove(node);
            _lastUsedFirst.AddFirst(node);
            return node.Value.Chunk;
        }

        var chunk = new NbdChunk { Number = number };
        disk.Chunks.Add(number, _lastUsedFirst.AddFirst((disk, chunk)));
        missing.Add(chunk);
        _chunksUnderWay++;
        _keptChunks++;
        memory.Whole.Charge(NbdChunk.Bytes);
        for (var last = _lastUsedFirst.Last; _keptChunks > _keptMax && last is not null;)
        {
            var before = last.Previous;
            if (last.Value.Chunk.Ready.IsCompleted)
            {
                last.Value.Disk.Chunks.Remove(last.Value.Chunk.Number);
                Drop(last);
            }

            last = before;
        }

        return chunk;
    }

    /// <summary>A compressed cluster is decoded as a whole: what of it was not asked for is wanted soon.</summary>
    private void AddNeighbours(NbdDisk disk, long first, long end, List<NbdChunk> missing)
    {
        if (disk.ChunksTogether == 1 || missing.Count == 0)
        {
            return;
        }

        for (var number = first - (first % disk.ChunksTogether); number < first; number++)
        {
            GetOrAdd(disk, number, missing);
        }

        for (; end % disk.ChunksTogether != 0 && end < disk.ChunkCount; end++)
        {
            GetOrAdd(disk, end, missing);
        }

        missing.Sort(static (one, other) => one.Number.CompareTo(other.Number));
    }

    private void Drop(LinkedListNode<(NbdDisk Disk, NbdChunk Chunk)> node)
    {
        _lastUsedFirst.Remove(node);
        _keptChunks--;
        memory.Whole.Return(NbdChunk.Bytes);
        node.Value.Chunk.RemoveUser();
    }

    private void Start(NbdDisk disk, List<NbdChunk> missing)
    {
        for (var from = 0; from < missing.Count;)
        {
            var until = from + 1;
            while (until < missing.Count && until - from < RunChunks
                && missing[until].Number == missing[until - 1].Number + 1)
            {
                until++;
            }

            disk.TryAddUser(); // succeeds: the caller is a user
            var run = missing[from..until];
            run.ForEach(static chunk => chunk.AddUser());
            _ = ReadAsync(disk, run);
            from = until;
        }
    }

    private async Task ReadAsync(NbdDisk disk, List<NbdChunk> run)
    {
        try
        {
            await ReadRunAsync(disk, run);
        }
        catch (Exception e) when (run.Count > 1 && e is BlobCorruptException or ImageFormatException)
        {
            // What is damaged takes only its own chunk with it.
            foreach (var chunk in run.Where(static chunk => !chunk.Ready.IsCompleted))
            {
                await ReadAloneAsync(disk, chunk);
            }
        }
#pragma warning disable CA1031 // handed to everybody who waits
        catch (Exception e)
#pragma warning restore CA1031
        {
            Fail(disk, run, e);
        }

        lock (_lock)
        {
            _chunksUnderWay -= run.Count;
        }

        run.ForEach(static chunk => chunk.RemoveUser());
        await disk.RemoveUserAsync();
    }

    private async Task ReadAloneAsync(NbdDisk disk, NbdChunk chunk)
    {
        try
        {
            await ReadRunAsync(disk, [chunk]);
        }
#pragma warning disable CA1031 // handed to everybody who waits
        catch (Exception e)
#pragma warning restore CA1031
        {
            Fail(disk, [chunk], e);
        }
    }

    /// <summary>Reads neighbouring chunks; each is handed out as soon as it is whole.</summary>
    private async Task ReadRunAsync(NbdDisk disk, List<NbdChunk> run)
    {
        var start = run[0].Number * NbdChunk.Bytes;
        var end = Math.Min(disk.Disk.VirtualSize, (run[^1].Number + 1) * NbdChunk.Bytes);
        using var share = await shares.JoinAsync(CancellationToken.None, RunChunks * NbdChunk.Bytes);
        var options = share.Options with { Start = start, Length = end - start, Order = PieceOrder.Guest };
        var whole = 0;
        await foreach (var item in DiskReader.ReadAsync(disk.Disk, options, CancellationToken.None))
        {
            using var piece = item;
            for (var at = 0; at < piece.Data.Length;)
            {
                var guest = piece.Offset + at - start;
                var (index, within) = ((int)(guest / NbdChunk.Bytes), (int)(guest % NbdChunk.Bytes));
                var length = Math.Min(NbdChunk.Bytes - within, piece.Data.Length - at);
                while (whole < index)
                {
                    run[whole++].Complete();
                }

                run[index].Add(within, piece.Data.Span.Slice(at, length));
                at += length;
            }
        }

        run.ForEach(static chunk => chunk.Complete());
    }

    private void Fail(NbdDisk disk, List<NbdChunk> run, Exception exception)
    {
        foreach (var chunk in run.Where(static chunk => !chunk.Ready.IsCompleted))
        {
            lock (_lock)
            {
                if (disk.Chunks.TryGetValue(chunk.Number, out var node) && node.Value.Chunk == chunk)
                {
                    disk.Chunks.Remove(chunk.Number);
                    Drop(node);
                }
            }

            chunk.Fail(exception);
        }
    }
}
