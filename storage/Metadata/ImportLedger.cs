using Microsoft.EntityFrameworkCore;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>How an import ended for its image.</summary>
public sealed record ImportOutcome
{
    /// <summary>What is known of the bytes.</summary>
    public required UploadResult Result { get; init; }

    /// <summary>The formats that the bytes were judged under; the image must still have them.</summary>
    public required (string? Disk, string? Container) Judged { get; init; }

    /// <summary>The stores that have the bytes now: the staging store itself, and those of <see cref="Copies"/>.</summary>
    public required IReadOnlyList<string> StoreIds { get; init; }

    /// <summary>The promises of the copies to other stores, one for each of them.</summary>
    public required IReadOnlyList<UploadIntent> Copies { get; init; }

    /// <summary>Properties to set on the image.</summary>
    public required IReadOnlyDictionary<string, string> Properties { get; init; }

    /// <summary>The location that the bytes were taken over from; null when there is none.</summary>
    public LocationOrigin? Origin { get; init; }

    // The name of the blob in each of the stores: the staged one itself, or the copy.
    internal Dictionary<string, BlobKey> KeysOf(StagedBlob staged) => StoreIds.ToDictionary(
        storeId => storeId,
        storeId => storeId == staged.StoreId ? staged.Key : Copies.Single(copy => copy.StoreId == storeId).Key);
}

/// <summary>A location that a client named.</summary>
/// <param name="Url">Its URL.</param>
/// <param name="Metadata">What the client noted about it, a JSON object; null for nothing.</param>
public sealed record LocationOrigin(string Url, string? Metadata);

/// <summary>Moves images into imports and out of them, each in one transaction with the job.</summary>
/// <remarks>The protocol: <see cref="StartAsync"/> turns the image to importing and adds the job; the job stages bytes
/// through <see cref="StagingLedger"/> and copies them under <see cref="BeginCopyAsync"/>; <see cref="CommitAsync"/> makes
/// all of the copies the image's at once, <see cref="AbandonAsync"/> none. What a killed job leaves is garbage as soon as
/// the next attempt or the end of the import drops its promises.</remarks>
public sealed class ImportLedger(IDbContextFactory<RegistryDb> databases, StorageQuota quota, TimeProvider time)
{
    /// <summary>Starts an import.</summary>
    /// <param name="imageId">The image.</param>
    /// <param name="order">The job; its image and key are set here, so that an image has one import at most.</param>
    /// <param name="prepare">Checks the image and turns it to what it is meanwhile; told whether bytes are staged.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is no such image.
    /// -or- <see cref="ErrorCode.Conflict"/>: it is being imported already.
    /// -or- <see cref="ErrorCode.QuotaExceeded"/>: its project has more than it may have.
    /// -or- <see cref="ErrorCode.IdentityUnavailable"/>: nobody can tell what its project may have.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.
    /// -or- what <paramref name="prepare"/> throws.</exception>
    public async Task<Job> StartAsync(
        string imageId, JobOrder order, Action<Image, bool, Guid> prepare, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(order);
        ArgumentNullException.ThrowIfNull(prepare);
        order = order with { ImageId = imageId, UniqueKey = $"{order.Kind}:{imageId}" };
        Job? mine = null;
        var limits = await quota.AskAsync(databases, imageId, cancellationToken).ConfigureAwait(false);
        return await WriteTransaction.RunAsync(
            databases,
            async (db, attempt) =>
            {
                await DatabaseDialect.LockAsync(db, imageId, cancellationToken).ConfigureAwait(false);
                var running = await db.Jobs.AsNoTracking().FirstOrDefaultAsync(
                    j => j.UniqueKey == order.UniqueKey && j.EndedAt == null, cancellationToken).ConfigureAwait(false);
                if (running is not null && running.Id == mine?.Id)
                {
                    return running; // the attempt before went through, only its answer was lost
                }

                if (running is not null)
                {
                    throw new RegistryException(ErrorCode.Conflict, "Image has active task", "import_under_way");
                }

                var image = await ImageQueries.FindAsync(
                    db, imageId, Viewer.System, tracking: true, cancellationToken).ConfigureAwait(false)
                    ?? throw new RegistryException(ErrorCode.NotFound, $"No image found with ID {imageId}");
                var staged = await StagingLedger.FindAsync(db, imageId, cancellationToken).ConfigureAwait(false);
                mine = new Job(order, await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false));
                prepare(image, staged is not null, mine.Id);
                await quota.RequireWithinAsync(
                    db, limits, image.Owner, new ProjectNeed(StoredBytes: 0), cancellationToken).ConfigureAwait(false);
                db.Jobs.Add(mine);
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                return mine;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Promises a copy of the staged bytes in another store, under a generation of its own. The promise of an
    /// earlier attempt at the same copy is dropped, which fences that attempt off.</summary>
    /// <param name="staged">The bytes.</param>
    /// <param name="storeId">The store to copy to.</param>
    /// <param name="owner">This process, unique among all that ever ran, with the attempt at its job.</param>
    /// <param name="lease">How long the promise stands without renewal.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Fenced"/>: these bytes are no longer staged, or the attempt
    /// no longer has its job.
    /// -or- <see cref="ErrorCode.QuotaExceeded"/>: the project has no room for a copy.
    /// -or- <see cref="ErrorCode.IdentityUnavailable"/>: nobody can tell what its project may have.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown; the lease will run out.</exception>
    public async Task<UploadIntent> BeginCopyAsync(
        StagedBlob staged, string storeId, IntentOwner owner, TimeSpan lease, CancellationToken cancellationToken)
    {
        var id = Guid.CreateVersion7(time.GetUtcNow());
        var limits = await quota.AskAsync(databases, staged.ImageId, cancellationToken).ConfigureAwait(false);
        return await WriteTransaction.RunAsync(
            databases,
            async (db, attempt) =>
            {
                var image = await LoadLockedAsync(db, staged.ImageId, cancellationToken).ConfigureAwait(false);
                if (attempt > 1 && await db.UploadIntents.FindAsync([id], cancellationToken)
                        .ConfigureAwait(false) is { } mine)
                {
                    return mine; // the attempt before went through, only its answer was lost
                }

                var present = await StagingLedger.FindAsync(db, staged.ImageId, cancellationToken)
                    .ConfigureAwait(false);
                if (image?.Status != ImageStatus.Importing || present?.Key != staged.Key)
                {
                    throw Over(staged.ImageId);
                }

                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                await owner.RequireHeldAsync(db, now, cancellationToken).ConfigureAwait(false);
                await db.UploadIntents.Where(i => i.ImageId == staged.ImageId && i.StoreId == storeId)
                    .ExecuteDeleteAsync(cancellationToken).ConfigureAwait(false);
                await quota.RequireRoomAsync(
                    db, limits, image.Owner, new ProjectNeed(StoredBytes: staged.DataLength), cancellationToken)
                    .ConfigureAwait(false);
                var intent = new UploadIntent(
                    id, staged.ImageId, image.ReserveGeneration(), storeId, owner.Name, Timestamps.Stored(now + lease),
                    staged.DataLength);
                db.UploadIntents.Add(intent);
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                return intent;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Ends an import well: the image is active with the staged bytes, wherever they are.</summary>
    /// <returns>The staged blob, where its store is none of the image's: garbage from now on; else null.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Fenced"/>: the import is over, or somebody else has taken
    /// over its copies. -or- <see cref="ErrorCode.Busy"/>: the image's formats were changed meanwhile; judge again.
    /// -or- <see cref="ErrorCode.QuotaExceeded"/>: the project has no room for the bytes.
    /// -or- <see cref="ErrorCode.IdentityUnavailable"/>: nobody can tell what the project may have.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.</exception>
    public async Task<StagedBlob?> CommitAsync(
        StagedBlob staged, ImportOutcome outcome, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(staged);
        ArgumentNullException.ThrowIfNull(outcome);
        var limits = await quota.AskAsync(databases, staged.ImageId, cancellationToken).ConfigureAwait(false);
        return await WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var image = await LoadLockedAsync(db, staged.ImageId, cancellationToken).ConfigureAwait(false);
                var leftover = outcome.StoreIds.Contains(staged.StoreId) ? null : staged;
                var keys = outcome.KeysOf(staged);
                if (image is not null && image.Locations.Any(l => keys.GetValueOrDefault(l.StoreId) == l.Key))
                {
                    return leftover; // an attempt before went through, only its answer was lost
                }

                var present = await StagingLedger.FindAsync(db, staged.ImageId, cancellationToken)
                    .ConfigureAwait(false);
                if (image?.Status != ImageStatus.Importing || present?.Key != staged.Key)
                {
                    throw Over(staged.ImageId);
                }

                if ((image.DiskFormat, image.ContainerFormat) != outcome.Judged)
                {
                    throw new RegistryException(
                        ErrorCode.Busy, "The image's formats were changed during the import.", "formats_changed");
                }

                var ids = outcome.Copies.Select(copy => copy.Id).ToArray();
                var held = await db.UploadIntents.CountAsync(i => ids.Contains(i.Id), cancellationToken)
                    .ConfigureAwait(false);
                if (held != ids.Length)
                {
                    throw Over(staged.ImageId);
                }

                if (leftover is null)
                {
                    // Copies are promised already; these bytes turn from staged ones into stored ones.
                    await quota.RequireWithinAsync(
                        db, limits, image.Owner, new ProjectNeed(StoredBytes: staged.DataLength), cancellationToken)
                        .ConfigureAwait(false);
                }

                var now = time.GetUtcNow();
                image.Activate(outcome.Result, now);
                foreach (var (storeId, key) in keys)
                {
                    var location = staged.AsLocation(now).CopyAs(key, storeId, now);
                    location.Describe(outcome.Origin?.Url, outcome.Origin?.Metadata);
                    image.AddLocation(location);
                }

                await EndAsync(db, image, outcome.Properties, cancellationToken).ConfigureAwait(false);
                return leftover;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Ends an import badly: the image is queued as if it had not been, but for the reason. Doing it twice, or too
    /// late, is no error.</summary>
    /// <param name="imageId">The image.</param>
    /// <param name="jobId">The import; one whose job is another is left alone.</param>
    /// <param name="kind">The kind of imports' jobs.</param>
    /// <param name="code">A stable word, shown to the owner.</param>
    /// <param name="reason">A sentence, shown to the owner.</param>
    /// <param name="properties">Properties to set on the image.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>The bytes that were staged, garbage from now on; null when there were none.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.
    /// </exception>
    public Task<StagedBlob?> AbandonAsync(
        string imageId,
        Guid jobId,
        string kind,
        string code,
        string reason,
        IReadOnlyDictionary<string, string> properties,
        CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var image = await LoadLockedAsync(db, imageId, cancellationToken).ConfigureAwait(false);
                var isOther = await db.Jobs.AnyAsync(
                    j => j.ImageId == imageId && j.Kind == kind && j.Id != jobId && j.EndedAt == null,
                    cancellationToken).ConfigureAwait(false);
                if (image?.Status != ImageStatus.Importing || isOther)
                {
                    return null;
                }

                var staged = await StagingLedger.FindAsync(db, imageId, cancellationToken).ConfigureAwait(false);
                image.AbandonUpload(code, reason, time.GetUtcNow());
                await EndAsync(db, image, properties, cancellationToken).ConfigureAwait(false);
                return staged;
            },
            cancellationToken);

    private static async Task EndAsync(
        RegistryDb db,
        Image image,
        IReadOnlyDictionary<string, string> properties,
        CancellationToken cancellationToken)
    {
        foreach (var (name, value) in properties)
        {
            image.SetProperty(name, value);
        }

        image.RemoveProperty(ImportProperties.Task);
        await db.StagedBlobs.Where(s => s.ImageId == image.Id).ExecuteDeleteAsync(cancellationToken)
            .ConfigureAwait(false);
        await db.UploadIntents.Where(i => i.ImageId == image.Id).ExecuteDeleteAsync(cancellationToken)
            .ConfigureAwait(false);
        await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
    }

    private static async Task<Image?> LoadLockedAsync(
        RegistryDb db, string imageId, CancellationToken cancellationToken)
    {
        await DatabaseDialect.LockAsync(db, imageId, cancellationToken).ConfigureAwait(false);
        return await ImageQueries.FindAsync(db, imageId, Viewer.System, tracking: true, cancellationToken)
            .ConfigureAwait(false);
    }

    private static RegistryException Over(string imageId) =>
        new(ErrorCode.Fenced, $"The import of image {imageId} is over, or another server has taken it over.");
}
