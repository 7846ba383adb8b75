using System.Runtime.InteropServices;

namespace Registry.Api.Nbd;

/// <summary>What is said of the disk's bytes: runs of the context <c>base:allocation</c>.</summary>
/// <param name="start">First byte asked about.</param>
/// <param name="length">Bytes asked about, at least 1.</param>
/// <param name="onlyOne">Whether one run is enough.</param>
internal sealed class NbdStatus(long start, long length, bool onlyOne)
{
    /// <summary>Most runs in one answer: 64 KiB of them.</summary>
    private const int RunsMax = 8192;

    /// <summary>Most of the disk's extents looked at for one answer.</summary>
    private const int PartsMax = 1 << 16;

    private readonly List<NbdStatusRun> _runs = [];
    private readonly long _end = start + length;
    private long _position = start;
    private int _parts;

    /// <summary>The runs, ascending from the start, without gap.</summary>
    public ReadOnlySpan<NbdStatusRun> Runs => CollectionsMarshal.AsSpan(_runs);

    /// <summary>First byte that nothing is said of yet.</summary>
    public long Position => _position;

    /// <summary>Adds what comes next.</summary>
    /// <param name="end">First byte after it.</param>
    /// <param name="isStored">Whether there are bytes; else it reads as zeroes.</param>
    /// <returns>Whether more is wanted.</returns>
    public bool Add(long end, bool isStored)
    {
        end = Math.Min(end, _end);
        if (end <= _position)
        {
            return _position < _end;
        }

        var count = (uint)(end - _position);
        if (_runs.Count > 0 && _runs[^1].IsStored == isStored)
        {
            _runs[^1] = _runs[^1] with { Length = _runs[^1].Length + count };
        }
        else if (_runs.Count == (onlyOne ? 1 : RunsMax))
        {
            return false;
        }
        else
        {
            _runs.Add(new NbdStatusRun(count, isStored));
        }

        _position = end;
        return end < _end && ++_parts < PartsMax;
    }
}

/// <summary>A run of bytes that are all stored, or all zeroes that take no room.</summary>
/// <param name="Length">Bytes.</param>
/// <param name="IsStored">Which of the two.</param>
internal readonly record struct NbdStatusRun(uint Length, bool IsStored)
{
    private const uint HoleAndZero = 3;

    /// <summary>The flags of <c>base:allocation</c>.</summary>
    public uint Flags => IsStored ? 0 : HoleAndZero;
}
