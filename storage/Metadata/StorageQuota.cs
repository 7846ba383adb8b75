using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>How much a project may keep, and the reservation of room before the first byte arrives.</summary>
/// <remarks>Nothing is counted twice in two places: what is used is the sum over the locations of the project's images,
/// what waits to be imported counts too, what is promised is the sum over the uploads and copies under way, and promises
/// are made under a lock of the project. So races cannot overshoot, and there is no counter that could drift.
/// The limits that somebody else sets (<see cref="IProjectLimits"/>) are kept as Glance keeps them: what is known of an
/// operation must fit, and one of which nobody knows the length may begin while its project is not beyond the limit.
/// Since what is promised counts, one such upload overshoots, and not all that are under way.</remarks>
/// <param name="bytesPerProject">Most bytes in all stores together; null for no limit.</param>
/// <param name="limits">Who sets further limits; null for nobody.</param>
public sealed class StorageQuota(long? bytesPerProject, IProjectLimits? limits = null)
{
    /// <summary>Bytes by which a promise grows when the length was not stated.</summary>
    public const long StepBytes = 64L << 20;

    private const long Mebibyte = 1 << 20;

    private readonly Dictionary<string, long> _held = new(StringComparer.Ordinal);

    /// <summary>Whether there is a limit.</summary>
    public bool IsLimited => bytesPerProject is not null || limits is not null;

    /// <summary>Asks whoever sets limits for a project, before a transaction begins.</summary>
    /// <param name="projectId">The project; null for nobody's.</param>
    /// <param name="cancellationToken">Cancels the question.</param>
    /// <returns>Null where nobody does.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.IdentityUnavailable"/>: nobody can tell.</exception>
    public async Task<ProjectLimits?> AskAsync(string? projectId, CancellationToken cancellationToken) =>
        limits is null || projectId is null
            ? null
            : await limits.FindAsync(projectId, cancellationToken).ConfigureAwait(false);

    /// <summary>Asks for the project that owns an image.</summary>
    internal async Task<ProjectLimits?> AskAsync(
        IDbContextFactory<RegistryDb> databases, string imageId, CancellationToken cancellationToken)
    {
        if (limits is null)
        {
            return null;
        }

        string? owner;
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using (db.ConfigureAwait(false))
        {
            owner = await db.Images.Where(i => i.Id == imageId).Select(i => i.Owner)
                .SingleOrDefaultAsync(cancellationToken).ConfigureAwait(false);
        }

        return await AskAsync(owner, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Counts bytes against a project's quota that are kept by this process alone and have no row in the database.</summary>
    /// <param name="databases">Where the rest of its use is.</param>
    /// <param name="projectId">The project; null for none, which is not limited.</param>
    /// <param name="bytes">Bytes, 0 or more.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>Dispose it when the bytes are gone.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.QuotaExceeded"/>: the quota would be exceeded.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>, <see cref="ErrorCode.IdentityUnavailable"/>: it is not
    /// known.</exception>
    public async Task<IDisposable> HoldAsync(
        IDbContextFactory<RegistryDb> databases, string? projectId, long bytes, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        if (!IsLimited || projectId is null)
        {
            return new HeldBytes(this, projectId: null, bytes);
        }

        // Counted first, so that of two that ask at the same time each sees the other.
        var held = new HeldBytes(this, projectId, bytes);
        try
        {
            var asked = await AskAsync(projectId, cancellationToken).ConfigureAwait(false);
            return await WriteTransaction.RunAsync(
                databases,
                async (db, _) =>
                {
                    await RequireRoomAsync(db, asked, projectId, new ProjectNeed(StoredBytes: 0), cancellationToken)
                        .ConfigureAwait(false);
                    return held;
                },
                cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            held.Dispose();
            throw;
        }
    }

    /// <summary>Bytes to promise, beside those needed, to an upload of unknown length.</summary>
    /// <param name="received">Bytes that it has sent so far.</param>
    internal long Step(long received) => limits is null ? StepBytes : Math.Min(StepBytes, received);

    /// <summary>Finds room for more, and keeps others from taking it until the transaction ends.</summary>
    /// <param name="db">In a transaction.</param>
    /// <param name="projectId">The owner of the image; what is nobody's is not limited.</param>
    /// <param name="needed">Bytes that there must be room for, beside what is kept and promised.</param>
    /// <param name="wanted">Bytes to promise if there is room, <paramref name="needed"/> or more.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>Bytes to promise: as many of those wanted as there is room for.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.QuotaExceeded"/>: there is no room for those
    /// needed.</exception>
    internal async Task<long> FindRoomAsync(
        RegistryDb db, string? projectId, long needed, long wanted, CancellationToken cancellationToken)
    {
        if (bytesPerProject is not { } limit || projectId is null)
        {
            return wanted;
        }

        await DatabaseDialect.LockProjectAsync(db, projectId, cancellationToken).ConfigureAwait(false);
        var taken = await ProjectUsage.TakenBytesAsync(db, projectId, cancellationToken).ConfigureAwait(false)
            + Held(projectId);
        var room = limit - taken;
        return needed <= room
            ? Math.Min(wanted, room)
            : throw new RegistryException(
                ErrorCode.QuotaExceeded,
                $"Project {projectId} may keep {limit} bytes: {taken} are used, or promised to uploads under way, so " +
                $"there is no room for {needed} more.");
    }

    /// <summary>Finds room for more by every limit there is.</summary>
    /// <param name="db">In a transaction.</param>
    /// <param name="asked">What was answered before it began.</param>
    /// <param name="projectId">The owner of the image; what is nobody's is not limited.</param>
    /// <param name="need">What is about to be taken.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.QuotaExceeded"/>: there is no room.
    /// -or- <see cref="ErrorCode.Busy"/>: the image is another project's since it was asked.</exception>
    internal async Task RequireRoomAsync(
        RegistryDb db,
        ProjectLimits? asked,
        string? projectId,
        ProjectNeed need,
        CancellationToken cancellationToken)
    {
        var needed = (need.StoredBytes ?? 0) + (need.StagedBytes ?? 0);
        await FindRoomAsync(db, projectId, needed, needed, cancellationToken).ConfigureAwait(false);
        await RequireWithinAsync(db, asked, projectId, need, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Finds room for more by the limits that somebody else sets.</summary>
    /// <inheritdoc cref="RequireRoomAsync"/>
    internal async Task RequireWithinAsync(
        RegistryDb db,
        ProjectLimits? asked,
        string? projectId,
        ProjectNeed need,
        CancellationToken cancellationToken)
    {
        if (limits is null || projectId is null)
        {
            return;
        }

        if (asked?.ProjectId != projectId)
        {
            throw new RegistryException(ErrorCode.Busy, "The image has just been given to another project.");
        }

        await DatabaseDialect.LockProjectAsync(db, projectId, cancellationToken).ConfigureAwait(false);
        var taken = await ProjectUsage.TakenAsync(db, projectId, need.Replaces, cancellationToken).ConfigureAwait(false);
        RequireWithin(asked, taken with { StoredBytes = taken.StoredBytes + Held(projectId) }, need);
    }

    private long Held(string projectId)
    {
        lock (_held)
        {
            return _held.GetValueOrDefault(projectId);
        }
    }

    private void Hold(string projectId, long bytes)
    {
        lock (_held)
        {
            var held = _held.GetValueOrDefault(projectId) + bytes;
            if (held == 0)
            {
                _held.Remove(projectId); // there may be any number of projects
            }
            else
            {
                _held[projectId] = held;
            }
        }
    }

    // In the words of oslo.limit, which whoever runs a cloud knows.
    private static void RequireWithin(ProjectLimits asked, ProjectUsage taken, ProjectNeed need)
    {
        var over = new[]
        {
            Find("image_count_total", asked.Images, taken.Images, need.Images, 1),
            Find("image_count_uploading", asked.Uploading, taken.Uploading, need.Uploading, 1),
            Find("image_size_total", asked.StoredMebibytes, taken.StoredBytes, need.StoredBytes, Mebibyte),
            Find("image_stage_total", asked.StagedMebibytes, taken.StagedBytes, need.StagedBytes, Mebibyte),
        }.OfType<Excess>().ToList();
        if (over.Count > 0)
        {
            throw new RegistryException(
                ErrorCode.QuotaExceeded,
                $"Project {asked.ProjectId} is over a limit for [{string.Join(", ", over)}]",
                $"{over[0].Resource}_exceeded");
        }
    }

    private static Excess? Find(string resource, long limit, long taken, long? more, long unit) =>
        more is { } delta && limit >= 0 && (taken + delta) / unit > limit
            ? new Excess(resource, limit, taken / unit, ((taken + delta) / unit) - (taken / unit))
            : null;

    private sealed class HeldBytes : IDisposable
    {
        private readonly StorageQuota _quota;
        private readonly long _bytes;
        private string? _projectId;

        public HeldBytes(StorageQuota quota, string? projectId, long bytes)
        {
            (_quota, _projectId, _bytes) = (quota, projectId, bytes);
            if (projectId is not null)
            {
                quota.Hold(projectId, bytes);
            }
        }

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _projectId, null) is { } projectId)
            {
                _quota.Hold(projectId, -_bytes);
            }
        }
    }

    private sealed record Excess(string Resource, long Limit, long Used, long Delta)
    {
        public override string ToString() =>
            $"Resource {Resource} is over limit of {Limit} due to current usage {Used} and delta {Delta}";
    }
}
