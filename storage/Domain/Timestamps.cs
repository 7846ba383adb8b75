namespace Registry.Storage.Domain;

/// <summary>Times as the registry keeps them: UTC, whole microseconds, which both databases store exactly.</summary>
internal static class Timestamps
{
    /// <summary>Rounds down to what both databases store.</summary>
    public static DateTimeOffset Stored(DateTimeOffset time)
    {
        var utc = time.ToUniversalTime();
        return utc.AddTicks(-(utc.Ticks % TimeSpan.TicksPerMicrosecond));
    }
}
