namespace Registry.Storage.Domain;

/// <summary>Something that happened to an image, to be told to whoever the operator wants told.</summary>
/// <remarks>Saved in the transaction of the change, and removed when it has been told: what has been committed is told at
/// least once, what has not is not.</remarks>
public sealed class OutboxEvent
{
    // EF's way in.
    private OutboxEvent(Guid id, string type, string subject, string data, DateTimeOffset createdAt)
    {
        Id = id;
        Type = type;
        Subject = subject;
        Data = data;
        CreatedAt = createdAt;
    }

    /// <summary>Ascending, for one image in the order of its changes.</summary>
    public long Number { get; private set; }

    /// <summary>The same each time it is told.</summary>
    public Guid Id { get; private set; }

    /// <summary>Glance's word for what happened, such as <c>image.update</c>.</summary>
    public string Type { get; private set; }

    /// <summary>The image.</summary>
    public string Subject { get; private set; }

    /// <summary>What there is to know, JSON.</summary>
    public string Data { get; private set; }

    /// <summary>When it happened, UTC.</summary>
    public DateTimeOffset CreatedAt { get; private set; }

    /// <summary>Not to be told before, UTC, by the database's clock.</summary>
    public DateTimeOffset DueAt { get; private set; } = DateTimeOffset.UnixEpoch;

    /// <summary>How often it was told in vain.</summary>
    public int Failures { get; private set; }

    /// <summary>Describes something that happened.</summary>
    internal static OutboxEvent Create(string type, string subject, string data, DateTimeOffset now) =>
        new(Guid.CreateVersion7(now), type, subject, data, Timestamps.Stored(now));
}
