using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Cli;
using Registry.Api.ImageData;
using Registry.Api.Jobs;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Adoption;

/// <summary>How bytes are taken.</summary>
/// <param name="Store">The store that they go to.</param>
/// <param name="Sources">Opens them.</param>
/// <param name="IsCopied">Whether files are copied; otherwise they are linked into the store.</param>
/// <param name="IsRehearsal">Whether nothing is done but to look.</param>
internal sealed record AdoptionPlan(IBlobStore Store, GlanceSources Sources, bool IsCopied, bool IsRehearsal);

/// <summary>Takes images from Glance.</summary>
/// <remarks>An image with bytes is not there before they are: 1. an intent row, under which the blob is nobody's garbage;
/// 2. one pass over the bytes where they will stay (linked) or while they are copied, for digests, inspection and the
/// comparison with what Glance knows of them; 3. the blob committed; 4. one transaction that makes the image. A run that
/// is killed leaves an intent that expires, and the next begins that image anew.</remarks>
internal sealed partial class ImageAdopter(
    IDbContextFactory<RegistryDb> databases,
    ImageEditor editor,
    AdoptionLedger adoptions,
    UploadLedger ledger,
    BlobRemoval removal,
    BlobIntake intake,
    TimeProvider clock,
    IOptions<RegistryOptions> options,
    ILogger<ImageAdopter> logger)
{
    private const string What = "image";

    /// <summary>Takes an image, or says why not.</summary>
    /// <param name="glance">The database that it is in.</param>
    /// <param name="row">The image.</param>
    /// <param name="plan">How.</param>
    /// <param name="cancellationToken">Cancels; nothing is left half done.</param>
    /// <exception cref="RegistryException">The image cannot be taken.</exception>
    /// <exception cref="IOException">A store failed.</exception>
    public async Task<AdoptionLine> AdoptAsync(
        GlanceDatabase glance, GlanceImage row, AdoptionPlan plan, CancellationToken cancellationToken)
    {
        switch (row.Status)
        {
            case "killed" or "pending_delete" or "deleted":
                return new AdoptionLine(What, row.Id, Adopted.Passed, $"{row.Status} in Glance");
            case "saving" or "uploading" or "importing":
                return new AdoptionLine(
                    What, row.Id, Adopted.Left, $"Glance has not finished it: {row.Status}. Run again when it has.",
                    "unfinished");
        }

        if (await FindStatusAsync(row.Id, cancellationToken) is { } known)
        {
            return There(row.Id, known);
        }

        var parts = await glance.PartsAsync(row.Id, cancellationToken);
        var image = AdoptedImages.Make(row, parts);
        return row.Status switch
        {
            "queued" => await RegisterAsync(image, plan, cancellationToken),
            "active" or "deactivated" => await TakeAnyAsync(row, parts, image, plan, cancellationToken),
            _ => throw Images.ImageRules.Bad($"'{Images.ImageRules.Shown(row.Status)}' is no status of an image."),
        };
    }

    private async Task<AdoptionLine> RegisterAsync(Image image, AdoptionPlan plan, CancellationToken cancellationToken)
    {
        if (!plan.IsRehearsal)
        {
            await editor.CreateAsync(image, cancellationToken);
        }

        return new AdoptionLine(What, image.Id, Adopted.Taken, "queued, without bytes");
    }

    // Glance may have the bytes in several places; one of them that is whole is enough.
    private async Task<AdoptionLine> TakeAnyAsync(
        GlanceImage row, GlanceParts parts, Image image, AdoptionPlan plan, CancellationToken cancellationToken)
    {
        image.RequireFormats();
        Exception? first = null;
        foreach (var address in parts.Locations)
        {
            try
            {
                return await TakeAsync(
                    row, parts, image, plan, GlanceLocation.Parse(address), cancellationToken);
            }
            catch (Exception e) when (e is IOException or RegistryException
            {
                Code: not (ErrorCode.DatabaseUnavailable or ErrorCode.DuplicateId),
            })
            {
                first ??= e;
            }
        }

        throw first ?? new RegistryException(
            ErrorCode.NotFound, $"It is {row.Status}, and Glance does not say where its bytes are.", "no_location");
    }

    private async Task<AdoptionLine> TakeAsync(
        GlanceImage row, GlanceParts parts, Image image, AdoptionPlan plan, GlanceLocation location,
        CancellationToken cancellationToken)
    {
        using var source = plan.Sources.Open(location, row.Size);
        AdoptedImages.PrepareHash(row, source);
        var isLinked = source.File is not null && !plan.IsCopied;
        var done = $"{row.Status}, {source.Length} bytes {(isLinked ? "in place" : "copied")}";
        if (plan.IsRehearsal)
        {
            return new AdoptionLine(What, row.Id, Adopted.Taken, done, Bytes: source.Length ?? 0);
        }

        var duration = options.Value.Uploads.Lease;
        var intent = await adoptions.BeginAsync(
            row.Id, image.Owner, plan.Store.Id, ImageUploads.Owner, duration, source.Length ?? 0, cancellationToken);
        if (intent is null)
        {
            throw new RegistryException(ErrorCode.DuplicateId, $"Image ID {row.Id} already exists!");
        }

        try
        {
            await using var lease = new HeldLease(
                token => ledger.RenewAsync(intent, duration, token), duration, clock, cancellationToken);
            var blob = await StoreAsync(row, image, plan, intent, source, isLinked, lease);
            var outcome = await adoptions.CommitAsync(
                intent, () => AdoptedImages.Make(row, parts, blob), blob.Root, CancellationToken.None);
            return outcome == CommitOutcome.Committed
                ? new AdoptionLine(What, row.Id, Adopted.Taken, done, Bytes: blob.Summary.Length)
                : throw Fenced(row.Id);
        }
        catch (Exception e) when (e is not RegistryException { Code: ErrorCode.DatabaseUnavailable })
        {
            await GiveUpAsync(intent, plan.Store);
            throw;
        }
    }

    private async Task<TakenBlob> StoreAsync(
        GlanceImage row, Image image, AdoptionPlan plan, UploadIntent intent, SourceBytes source, bool isLinked,
        HeldLease lease)
    {
        using var bar = new ProgressBar(row.Id, source.Length ?? 0);
        source.Progress = bar.Add;
        try
        {
            await using var writer = isLinked
                ? await LinkAsync(plan.Store, intent.Key, source, lease.Token)
                : await plan.Store.BeginAsync(intent.Key, source.Length, lease.Token);
            return await intake.TakeAsync(
                writer, source, IntakeJudge.For(image.DiskFormat!, image.ContainerFormat, mayBeEmpty: true),
                patience: null, summary => AdoptedImages.Verify(row, summary, source), lease.Token);
        }
        catch (OperationCanceledException) when (lease.IsLost)
        {
            throw Fenced(row.Id);
        }
    }

    private static async Task<IBlobWriter> LinkAsync(
        IBlobStore store, BlobKey key, SourceBytes source, CancellationToken cancellationToken)
    {
        try
        {
            return store is DirectoryBlobStore directory
                ? await directory.AdoptAsync(key, source.File!, cancellationToken)
                : throw new IOException($"Store '{store.Id}' is no directory.");
        }
        catch (IOException e)
        {
            throw new RegistryException(
                ErrorCode.BadRequest, $"It cannot be taken in place: {e.Message} With --copy it is copied.",
                "not_in_place", e);
        }
    }

    // What is left is found by others: the intent expires, and the reaper removes the blob.
    private async Task GiveUpAsync(UploadIntent intent, IBlobStore store)
    {
        try
        {
            await ledger.AbandonAsync(intent, "adoption_failed", "The adoption failed.", CancellationToken.None);
            await removal.RemoveAsync(store, intent.Key, CancellationToken.None);
        }
        catch (Exception e) when (e is IOException or RegistryException or UnauthorizedAccessException)
        {
            Log.LeftBehind(logger, intent.ImageId, intent.Generation, store.Id, e);
        }
    }

    private async Task<ImageStatus?> FindStatusAsync(string id, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await db.Images.Where(i => i.Id == id).Select(i => (ImageStatus?)i.Status)
            .SingleOrDefaultAsync(cancellationToken)
            ?? (await db.Tombstones.AnyAsync(t => t.Id == id, cancellationToken) ? ImageStatus.Deleted : null);
    }

    private static AdoptionLine There(string id, ImageStatus status) =>
        new(What, id, Adopted.There, ImageStatuses.Name(status));

    private static RegistryException Fenced(string id) => new(
        ErrorCode.Fenced, $"Image {id} was given up: the database did not hear of it for too long.");

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning,
            "Could not remove what is left of the adoption {ImageId}/{Generation} from store {StoreId}; the reaper will")]
        public static partial void LeftBehind(
            ILogger logger, string imageId, long generation, string storeId, Exception exception);
    }
}
