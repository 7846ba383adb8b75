using Microsoft.Extensions.Time.Testing;

namespace Registry.Support;

/// <summary>A clock of tests that stands still until it is advanced, and whose wall clock can be stepped while the
/// monotonic one is not.</summary>
public sealed class SteppedTime(DateTimeOffset start) : FakeTimeProvider(start)
{
    private TimeSpan _ahead;

    /// <summary>Steps the wall clock.</summary>
    public void Step(TimeSpan by) => _ahead += by;

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + _ahead;

    /// <inheritdoc/>
    public override long GetTimestamp() => base.GetUtcNow().Ticks; // its own is the wall clock's
}
