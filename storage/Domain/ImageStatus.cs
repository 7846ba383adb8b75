using System.Collections.Frozen;

namespace Registry.Storage.Domain;

/// <summary>Where an image is in its life. The words and the moves are Glance's: spec/glance-v2.md section
/// 3.2.</summary>
public enum ImageStatus
{
    /// <summary>Registered; has no bytes.</summary>
    Queued,

    /// <summary>Bytes are on their way straight into a store.</summary>
    Saving,

    /// <summary>Bytes are staged, to be imported later.</summary>
    Uploading,

    /// <summary>A job is importing.</summary>
    Importing,

    /// <summary>Complete. The bytes never change again.</summary>
    Active,

    /// <summary>Complete, but its bytes are handed to nobody but administrators.</summary>
    Deactivated,

    /// <summary>Deleted for its users; the bytes are still kept.</summary>
    PendingDelete,

    /// <summary>A tombstone: it keeps the id from ever being used again.</summary>
    Deleted,

    /// <summary>Given up by a failure that left it beyond use.</summary>
    Killed,
}

/// <summary>The status machine as data, and the names of the statuses.</summary>
public static class ImageStatuses
{
    // The only table of moves; Image.MoveTo is its only reader that assigns. What looks odd is Glance's:
    //  - queued -> active: an image whose bytes already exist elsewhere (a location was given) needs no saving.
    //  - saving -> killed: kept so that rows imported from Glance can be named; we go back to queued instead.
    //  - pending_delete -> active: an operator takes a delayed deletion back.
    //  - active -> saving is absent: bytes are immutable, a second upload is refused.
    private static readonly FrozenDictionary<ImageStatus, FrozenSet<ImageStatus>> _moves =
        new Dictionary<ImageStatus, FrozenSet<ImageStatus>>
        {
            [ImageStatus.Queued] = To(
                ImageStatus.Saving,
                ImageStatus.Uploading,
                ImageStatus.Importing,
                ImageStatus.Active,
                ImageStatus.Deleted),
            [ImageStatus.Saving] = To(ImageStatus.Active, ImageStatus.Killed, ImageStatus.Deleted, ImageStatus.Queued),
            [ImageStatus.Uploading] = To(ImageStatus.Importing, ImageStatus.Queued, ImageStatus.Deleted),
            [ImageStatus.Importing] = To(ImageStatus.Active, ImageStatus.Deleted, ImageStatus.Queued),
            [ImageStatus.Active] = To(ImageStatus.Deactivated, ImageStatus.PendingDelete, ImageStatus.Deleted),
            [ImageStatus.Deactivated] = To(ImageStatus.Active, ImageStatus.Deleted),
            [ImageStatus.PendingDelete] = To(ImageStatus.Deleted, ImageStatus.Active),
            [ImageStatus.Killed] = To(ImageStatus.Deleted),
            [ImageStatus.Deleted] = To(),
        }.ToFrozenDictionary();

    private static readonly FrozenDictionary<ImageStatus, string> _names = new Dictionary<ImageStatus, string>
    {
        [ImageStatus.Queued] = "queued",
        [ImageStatus.Saving] = "saving",
        [ImageStatus.Uploading] = "uploading",
        [ImageStatus.Importing] = "importing",
        [ImageStatus.Active] = "active",
        [ImageStatus.Deactivated] = "deactivated",
        [ImageStatus.PendingDelete] = "pending_delete",
        [ImageStatus.Deleted] = "deleted",
        [ImageStatus.Killed] = "killed",
    }.ToFrozenDictionary();

    private static readonly FrozenDictionary<string, ImageStatus> _byName =
        _names.ToFrozenDictionary(pair => pair.Value, pair => pair.Key, StringComparer.Ordinal);

    /// <summary>Whether the table allows a move.</summary>
    public static bool CanMove(ImageStatus from, ImageStatus to) => _moves[from].Contains(to);

    /// <summary>Glance's word for a status, such as <c>pending_delete</c>.</summary>
    public static string Name(ImageStatus status) => _names[status];

    /// <summary>Reads Glance's word for a status. Case-sensitive.</summary>
    public static bool TryParse(string? name, out ImageStatus status)
    {
        status = default;
        return name is not null && _byName.TryGetValue(name, out status);
    }

    /// <summary>Passes when the table allows the move.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.InvalidStatusTransition"/>: it does not.</exception>
    internal static void Require(ImageStatus from, ImageStatus to)
    {
        if (!CanMove(from, to))
        {
            throw new RegistryException(
                ErrorCode.InvalidStatusTransition,
                $"Image status transition from {Name(from)} to {Name(to)} is not allowed");
        }
    }

    /// <summary>Reads a name that we wrote ourselves.</summary>
    /// <exception cref="KeyNotFoundException">It is no status: the database was written by somebody else.</exception>
    internal static ImageStatus Parse(string name) => _byName[name];

    private static FrozenSet<ImageStatus> To(params ReadOnlySpan<ImageStatus> targets) => FrozenSet.Create(targets);
}
