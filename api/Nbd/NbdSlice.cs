namespace Registry.Api.Nbd;

/// <summary>A run of a disk that is ready to be sent.</summary>
/// <param name="Offset">First byte of the disk.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Content">The bytes; empty for zeroes.</param>
internal readonly record struct NbdRun(long Offset, int Length, ReadOnlyMemory<byte> Content)
{
    /// <summary>Whether it is zeroes.</summary>
    public bool IsZero => Content.IsEmpty;
}

/// <summary>A part of a disk that is ready to be sent: all of it is there, and verified. Dispose it when it
/// was.</summary>
internal sealed class NbdSlice : IDisposable
{
    /// <summary>Most bytes of a slice.</summary>
    public const int MaxBytes = 256 << 10;

    private readonly List<NbdChunk> _chunks = [];

    /// <summary>The runs, ascending, without gap.</summary>
    public List<NbdRun> Runs { get; } = [];

    /// <summary>First byte of the disk after it.</summary>
    public long End => Runs[^1].Offset + Runs[^1].Length;

    /// <summary>Adds what comes next out of a chunk, which the slice becomes the user of in the caller's
    /// place.</summary>
    /// <param name="chunk">The chunk; it is ready.</param>
    /// <param name="offset">First byte of the disk.</param>
    /// <param name="length">Bytes; all lie in the chunk.</param>
    public void Add(NbdChunk chunk, long offset, int length)
    {
        _chunks.Add(chunk);
        var start = chunk.Number * NbdChunk.Bytes;
        for (var (at, end) = ((int)(offset - start), (int)(offset - start) + length); at < end;)
        {
            var piece = at / NbdChunk.PieceBytes;
            var isZero = chunk.IsZero(piece);
            do
            {
                piece++;
            }
            while (piece * NbdChunk.PieceBytes < end && chunk.IsZero(piece) == isZero);

            var until = Math.Min(end, piece * NbdChunk.PieceBytes);
            Add(new NbdRun(start + at, until - at, isZero ? default : chunk.Content[at..until]));
            at = until;
        }
    }

    /// <summary>Adds zeroes that come next.</summary>
    public void AddZeroes(long offset, int length) => Add(new NbdRun(offset, length, default));

    /// <summary>Copies all its bytes.</summary>
    /// <param name="buffer">As long as the slice.</param>
    public void CopyTo(Span<byte> buffer)
    {
        foreach (var run in Runs)
        {
            var target = buffer.Slice((int)(run.Offset - Runs[0].Offset), run.Length);
            if (run.IsZero)
            {
                target.Clear();
            }
            else
            {
                run.Content.Span.CopyTo(target);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _chunks.ForEach(static chunk => chunk.RemoveUser());
        _chunks.Clear();
        Runs.Clear();
    }

    private void Add(NbdRun run)
    {
        if (run.IsZero && Runs.Count > 0 && Runs[^1].IsZero)
        {
            Runs[^1] = Runs[^1] with { Length = Runs[^1].Length + run.Length };
        }
        else
        {
            Runs.Add(run);
        }
    }
}
