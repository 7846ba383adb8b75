namespace Registry.Storage.Domain;

/// <summary>What a member project made of an image shared with it. It decides about lists only, never about
/// access.</summary>
public enum MemberStatus
{
    /// <summary>Not answered yet.</summary>
    Pending,

    /// <summary>The member wants it in its lists.</summary>
    Accepted,

    /// <summary>The member does not want it in its lists.</summary>
    Rejected,
}

/// <summary>The names of the member statuses.</summary>
public static class MemberStatuses
{
    /// <summary>Glance's word for a member status.</summary>
    public static string Name(MemberStatus status) => status switch
    {
        MemberStatus.Pending => "pending",
        MemberStatus.Accepted => "accepted",
        MemberStatus.Rejected => "rejected",
        _ => throw new ArgumentOutOfRangeException(nameof(status), status, "No such member status."),
    };

    /// <summary>Reads Glance's word for a member status. Case-sensitive.</summary>
    public static bool TryParse(string? name, out MemberStatus status)
    {
        (var known, status) = name switch
        {
            "pending" => (true, MemberStatus.Pending),
            "accepted" => (true, MemberStatus.Accepted),
            "rejected" => (true, MemberStatus.Rejected),
            _ => (false, default),
        };
        return known;
    }

    /// <summary>Reads a name that we wrote ourselves.</summary>
    internal static MemberStatus Parse(string name) =>
        TryParse(name, out var status) ? status : throw new KeyNotFoundException($"No member status '{name}'.");
}
