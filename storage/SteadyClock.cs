using System.Runtime.CompilerServices;

namespace Registry.Storage;

/// <summary>The time of day as it was when the process first asked, plus what the monotonic clock has counted since: a
/// step of the wall clock (the first synchronisation, a virtual machine that resumes) does not move it.</summary>
/// <remarks>For what one process judges by itself: leases on the embedded database, tickets, the age of garbage. What
/// people read, such as the creation time of an image, is the wall clock's. Thread-safe.</remarks>
public sealed class SteadyClock
{
    private static readonly ConditionalWeakTable<TimeProvider, SteadyClock> _clocks = [];

    private readonly TimeProvider _time;
    private readonly DateTimeOffset _origin;
    private readonly long _originTimestamp;

    private SteadyClock(TimeProvider time)
    {
        _time = time;
        _origin = time.GetUtcNow();
        _originTimestamp = time.GetTimestamp();
    }

    /// <summary>The time, UTC. Never goes back.</summary>
    public DateTimeOffset Now => _origin + _time.GetElapsedTime(_originTimestamp);

    /// <summary>The earlier of the steady and the wall clock, for the age of files and objects: whichever of the two stamped
    /// them, a step makes nothing look old.</summary>
    public DateTimeOffset Earliest => Step < TimeSpan.Zero ? _time.GetUtcNow() : Now;

    /// <summary>How far the wall clock has been stepped since the origin; positive where it is ahead.</summary>
    public TimeSpan Step => _time.GetUtcNow() - Now;

    /// <summary>The steady clock beside a wall clock; the same at each call.</summary>
    public static SteadyClock Of(TimeProvider time) => _clocks.GetValue(time, wall => new SteadyClock(wall));
}
