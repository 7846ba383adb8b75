namespace Registry.Storage.Metadata;

/// <summary>Which database, and where.</summary>
public sealed record DatabaseOptions
{
    /// <summary>The kind.</summary>
    public required DatabaseKind Kind { get; init; }

    /// <summary>Connection string as Npgsql or Microsoft.Data.Sqlite take it.</summary>
    public required string ConnectionString { get; init; }

    /// <summary>Whether what happens to images is noted, for <see cref="EventOutbox"/>.</summary>
    public bool RecordsEvents { get; init; }
}
