namespace Registry.Engine.Convert;

/// <summary>A set of byte ranges that were written; made for neighbours arriving one after the other.</summary>
internal sealed class RangeSet
{
    private readonly List<(long Start, long End)> ranges = [];

    /// <summary>Adds a range.</summary>
    public void Add(long start, long end)
    {
        // The usual case by far: it continues the range added last.
        if (ranges.Count > 0 && ranges[^1].End == start)
        {
            ranges[^1] = (ranges[^1].Start, end);
            return;
        }

        ranges.Add((start, end));
    }

    /// <summary>What of the ranges lies after an offset.</summary>
    public RangeSet From(long offset)
    {
        var rest = new RangeSet();
        foreach (var (start, end) in ranges)
        {
            if (end > offset)
            {
                rest.Add(Math.Max(start, offset), end);
            }
        }

        return rest;
    }

    /// <summary>The ranges from 0 to <paramref name="size"/> that were not added, ascending.</summary>
    public IEnumerable<(long Start, long End)> Gaps(long size)
    {
        ranges.Sort();
        long position = 0;
        foreach (var (start, end) in ranges)
        {
            if (start > position)
            {
                yield return (position, start);
            }

            position = Math.Max(position, end);
        }

        if (position < size)
        {
            yield return (position, size);
        }
    }
}
