namespace Registry.Storage.Domain;

/// <summary>A project that a shared image is shared with.</summary>
public sealed class ImageMember
{
    internal ImageMember(string imageId, string memberId, DateTimeOffset createdAt)
    {
        ImageId = imageId;
        MemberId = memberId;
        CreatedAt = createdAt;
        UpdatedAt = createdAt;
    }

    /// <summary>The image.</summary>
    public string ImageId { get; private set; }

    /// <summary>The member project's id, at most 255 characters. Nobody checks that the project exists.</summary>
    public string MemberId { get; private set; }

    /// <summary>What the member made of it.</summary>
    public MemberStatus Status { get; private set; } = MemberStatus.Pending;

    /// <summary>When the image was shared, UTC.</summary>
    public DateTimeOffset CreatedAt { get; private set; }

    /// <summary>When the status last changed, UTC.</summary>
    public DateTimeOffset UpdatedAt { get; private set; }

    /// <summary>Records the member's answer.</summary>
    public void Answer(MemberStatus status, DateTimeOffset now)
    {
        Status = status;
        UpdatedAt = Timestamps.Stored(now);
    }
}
