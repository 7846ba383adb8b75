namespace Registry.Engine.Qcow2.Checking;

/// <summary>Ranges of a file that may overlap, turned into pieces that do not: so that what many tables share is read
/// once, whatever their number.</summary>
internal sealed class RangeSweep
{
    private readonly List<(long Position, int Change)> edges = [];

    /// <summary>Adds a range; an empty one is nothing.</summary>
    /// <param name="start">First byte (or cluster).</param>
    /// <param name="end">First one after it.</param>
    public void Add(long start, long end)
    {
        if (end > start)
        {
            edges.Add((start, 1));
            edges.Add((end, -1));
        }
    }

    /// <summary>The pieces in order, each with the number of ranges that cover it.</summary>
    public IEnumerable<(long Start, long End, ulong Times)> Pieces()
    {
        edges.Sort();
        var covering = 0;
        var position = 0L;
        foreach (var edge in edges)
        {
            if (covering > 0 && edge.Position > position)
            {
                yield return (position, edge.Position, (ulong)covering);
            }

            position = edge.Position;
            covering += edge.Change;
        }
    }
}
