namespace Registry.Api.Nbd;

/// <summary>Notices that a client reads on and on, and has the next bytes fetched while it works with the last: never
/// more than it read in a row so far, and at most 2 MiB.</summary>
/// <remarks>Requests that are under way together may come in any order, and a client that copies a disk leaves out its
/// holes: whatever is near where the last one ended goes on from it. Not for several threads at once.</remarks>
internal sealed class NbdReadAhead
{
    private const long FurthestBytes = NbdCache.RunChunks * NbdChunk.Bytes;
    private const long NearBehind = 4 << 20;
    private const long NearAhead = 1 << 20;

    private long _next = -1;
    private long _inARow;
    private long _asked;

    /// <summary>Notes a request.</summary>
    /// <param name="offset">Its first byte.</param>
    /// <param name="length">Its bytes.</param>
    /// <returns>The bytes to be fetched beyond it; nothing where start and end are the same.</returns>
    public (long Start, long End) Note(long offset, long length)
    {
        var end = offset + length;
        var isNext = _next >= 0 && offset >= _next - NearBehind && offset <= _next + NearAhead;
        if (!isNext)
        {
            (_next, _inARow, _asked) = (end, length, end);
            return default;
        }

        _inARow += length;
        _next = Math.Max(_next, end);
        var furthest = _next + Math.Min(_inARow - length, FurthestBytes);

        // In long reads: not again before half of what was asked for has been taken.
        if (_asked - _next > (furthest - _next) / 2)
        {
            return default;
        }

        var start = Math.Max(_asked, _next);
        _asked = Math.Max(_asked, furthest);
        return (start, _asked);
    }
}
