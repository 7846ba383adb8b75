namespace Registry.Storage.Metadata;

/// <summary>Which database, and where.</summary>
public sealed record DatabaseOptions
{
    /// <summary>The kind.</summary>
    public required DatabaseKind Kind { get; init; }

    /// <summary>Connection string as Npgsql or Microsoft.Data.Sqlite take it.</summary>
    public required string ConnectionString { get; init; }

    /// <summary>What is noted of what happens, for <see cref="EventOutbox"/>; null for nothing.</summary>
    public EventSelection? Events { get; init; }

    /// <summary>Maximum number of bytes of an image's additional attributes; null for no limit.</summary>
    public long? PropertyBytesMax { get; init; }

    /// <summary>What is given up when the embedded database's disk is full; null for nothing.</summary>
    public DiskReserve? Reserve { get; init; }
}
