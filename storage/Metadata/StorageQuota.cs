using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>How many bytes a project may keep, and the reservation of room before the first byte arrives.</summary>
/// <remarks>Nothing is counted twice in two places: what is used is the sum over the locations of the project's images,
/// what waits to be imported counts too, what is promised is the sum over the uploads and copies under way, and promises
/// are made under a lock of the project. So races cannot overshoot, and there is no counter that could drift.</remarks>
/// <param name="bytesPerProject">Most bytes in all stores together; null for no limit.</param>
public sealed class StorageQuota(long? bytesPerProject)
{
    /// <summary>Bytes by which a promise grows when the length was not stated.</summary>
    public const long StepBytes = 64L << 20;

    /// <summary>Whether there is a limit.</summary>
    public bool IsLimited => bytesPerProject is not null;

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

        // One statement, for its one moment: an upload that ends meanwhile takes no lock of the project, and its bytes
        // are no promise any more when they are kept.
        var taken = await ProjectUsage.Stored(db, projectId)
            .Concat(ProjectUsage.Staged(db, projectId))
            .Concat(db.UploadIntents
                .Where(u => db.Images.Any(i => i.Id == u.ImageId && i.Owner == projectId))
                .Select(u => u.ReservedBytes))
            .SumAsync(cancellationToken).ConfigureAwait(false);
        var room = limit - taken;
        return needed <= room
            ? Math.Min(wanted, room)
            : throw new RegistryException(
                ErrorCode.QuotaExceeded,
                $"Project {projectId} may keep {limit} bytes: {taken} are used, or promised to uploads under way, so " +
                $"there is no room for {needed} more.");
    }
}
