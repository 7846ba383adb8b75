using System.Runtime.CompilerServices;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Memory;
using Registry.Api.Policy;
using Registry.Api.Schemas;
using Registry.Api.Stores;
using Registry.Storage.Domain;
using Registry.Storage.Memory;
using Registry.Storage.Metadata;

namespace Registry.Api.Images;

/// <summary>What can be done with an image's metadata: one core for HTTP and gRPC. Each verb authorises, loads, decides
/// and stores, in that order.</summary>
internal sealed partial class ImageCommands(
    IDbContextFactory<RegistryDb> databases,
    ImageEditor editor,
    StoreSet stores,
    DiscardedBlobs discarded,
    WholeLocations wholeness,
    PolicyEngine policy,
    PropertyProtections protections,
    ProcessMemory memory,
    CustomProperties schema,
    TimeProvider clock,
    IOptions<RegistryOptions> options,
    ILogger<ImageCommands> logger)
{
    // Of names and values, two bytes each in memory.
    private const int BatchChars = 128 << 10;
    private const int BytesPerChar = sizeof(char);

    // An image of a list without its properties, as a row, as an object and as JSON.
    private const int BytesPerListed = 2 << 10;

    /// <summary>The refusal for an image that is not there, or that the caller may not know of.</summary>
    public static RegistryException NotFound(string id) =>
        new(ErrorCode.NotFound, $"No image found with ID {ImageRules.Shown(id)}");

    /// <summary>Registers an image.</summary>
    /// <exception cref="RegistryException">BadRequest, Forbidden, DuplicateId, TooLarge.</exception>
    public async Task<Image> CreateAsync(Caller caller, ImageDraft draft, CancellationToken cancellationToken)
    {
        var image = Build(caller, draft);
        await editor.CreateAsync(image, cancellationToken);
        Log.Created(logger, image.Id, image.Owner);
        return protections.Show(caller, image);
    }

    /// <summary>Refuses what would be refused as a new image that gets its bytes immediately: a caller that may not upload
    /// gets bytes into an image by no other way.</summary>
    /// <exception cref="RegistryException">BadRequest, Forbidden, TooLarge.</exception>
    internal void RequireFillable(Caller caller, ImageDraft draft) =>
        policy.Require(caller, "upload_image", PolicyTarget.OfImage(Build(caller, draft)));

    /// <summary>Shows an image.</summary>
    /// <exception cref="RegistryException">NotFound.</exception>
    public async Task<Image> GetAsync(Caller caller, string id, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        var image = await ImageQueries.FindAsync(db, id, caller.Viewer, tracking: false, cancellationToken)
            ?? throw NotFound(id);
        policy.Require(caller, "get_image", image);
        return protections.Show(caller, image);
    }

    /// <summary>Waits for the memory of a list.</summary>
    /// <returns>The memory; dispose it when the list was sent.</returns>
    /// <exception cref="RegistryException">Busy: none became free in time.</exception>
    public ValueTask<MemoryShare> ReserveAsync(
        Caller caller, ImageListRequest request, CancellationToken cancellationToken) =>
        memory.TakeAsync(
            memory.Requests, caller.ProjectId, (request.Limit * BytesPerListed) + (2 * BatchChars * BytesPerChar), cancellationToken);

    /// <summary>Lists a page of images, without what <see cref="CompleteAsync"/> adds.</summary>
    /// <exception cref="RegistryException">BadRequest, Forbidden for another's marker.</exception>
    public async Task<List<Image>> ListAsync(
        Caller caller, ImageListRequest request, CancellationToken cancellationToken)
    {
        policy.Require(caller, "get_images", PolicyTarget.OfCaller(caller));
        if (request.Properties.Any(property => !protections.IsSeen(caller, property.Key)))
        {
            return []; // who may not see a value may not search for it either
        }

        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await ImageQueries.PageAsync(db, request, caller.Viewer, cancellationToken);
    }

    /// <summary>Completes a page with what hangs on its images, a batch of bounded memory at a time, and leaves out the
    /// images that the caller may not be shown.</summary>
    /// <param name="caller">Who is shown them.</param>
    /// <param name="page">From <see cref="ListAsync"/>; images leave it as they are returned.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async IAsyncEnumerable<Image> CompleteAsync(
        Caller caller, List<Image> page, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var batches = ImageQueries.CompleteAsync(databases, page, BatchChars, cancellationToken);
        await foreach (var (images, chars) in batches)
        {
            var beyond = Math.Max(0, chars - BatchChars) * BytesPerChar; // one image that has more than a batch may
            memory.Requests.Charge(beyond);
            try
            {
                foreach (var image in images.Where(
                    image => policy.Allows(caller, "get_image", PolicyTarget.OfImage(image))))
                {
                    yield return protections.Show(caller, image);
                }
            }
            finally
            {
                memory.Requests.Return(beyond);
            }
        }
    }

    /// <summary>Changes an image that the caller may modify.</summary>
    /// <param name="caller">Who changes.</param>
    /// <param name="id">The image.</param>
    /// <param name="change">Makes the change; false means that there was none. May run again on a fresh image.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">NotFound, Forbidden, and what <paramref name="change"/> throws.</exception>
    public Task<Image> ChangeAsync(
        Caller caller, string id, Func<Image, bool> change, CancellationToken cancellationToken) =>
        ChangeAsync(caller, id, "modify_image", change, cancellationToken);

    private async Task<Image> ChangeAsync(
        Caller caller, string id, string rule, Func<Image, bool> change, CancellationToken cancellationToken) =>
        protections.Show(caller, await editor.ChangeAsync(
            id, caller.Viewer, image => Apply(caller, image, rule, change), cancellationToken));

    /// <summary>Changes an image that is being saved by somebody else, by the same rules.</summary>
    /// <exception cref="RegistryException">NotFound, Forbidden, and what <paramref name="change"/> throws.</exception>
    internal void Apply(Caller caller, Image image, string rule, Func<Image, bool> change)
    {
        policy.Require(caller, rule, image);
        var visibility = image.Visibility;
        if (change(image))
        {
            if (image.Visibility != visibility)
            {
                policy.RequireVisibility(caller, image);
            }

            image.Touch(clock.GetUtcNow());
        }
    }

    /// <summary>Deletes an image and its bytes.</summary>
    /// <exception cref="RegistryException">NotFound, Forbidden, Protected.</exception>
    public async Task DeleteAsync(Caller caller, string id, CancellationToken cancellationToken)
    {
        await RequireAsync(caller, id, "delete_image", cancellationToken);
        var freed = await editor.DeleteAsync(id, cancellationToken);
        Log.Deleted(logger, id);
        stores.ForgetCached(id);
        foreach (var location in freed)
        {
            await discarded.RemoveAsync(location.StoreId, location.Key);
        }
    }

    /// <summary>Takes back an image that was made for something that came to nothing, unless it got bytes meanwhile or
    /// is protected.</summary>
    internal async Task DiscardAsync(string id)
    {
        try
        {
            if (await editor.DeleteQueuedAsync(id, CancellationToken.None))
            {
                Log.Deleted(logger, id);
            }
        }
        catch (RegistryException e) when (e.Code is ErrorCode.NotFound or ErrorCode.Protected)
        {
            Log.NotDiscarded(logger, id, e.Message);
        }
    }

    /// <summary>Removes an image's bytes from one of the stores that have them.</summary>
    /// <exception cref="RegistryException">NotFound: no such image, or the store has not got it. Conflict: no such store,
    /// the image is not active, or no other copy is known to be whole. Forbidden: to anybody but administrators, from a read-only store, and of the last
    /// copy.</exception>
    public async Task DeleteFromStoreAsync(
        Caller caller, string id, string storeId, CancellationToken cancellationToken)
    {
        var store = stores.Find(storeId) ?? throw new RegistryException(
            ErrorCode.Conflict, $"Store '{ImageRules.Shown(storeId)}' is not configured.", "unknown_store");
        var image = await RequireAsync(caller, id, "get_image_location", cancellationToken);
        policy.Require(caller, "delete_image_location", image);
        if (!store.Settings.TakesUploads && image.Locations.Any(location => location.StoreId == storeId))
        {
            throw new RegistryException(ErrorCode.Forbidden, $"Store '{storeId}' is read-only.", "store_read_only");
        }

        var isWhole = await wholeness.FindAsync(
            image.Locations.Where(other => other.StoreId != storeId), cancellationToken);
        var location = await editor.RemoveLocationAsync(id, storeId, isWhole, cancellationToken);
        Log.Removed(logger, id, storeId);
        await discarded.RemoveAsync(location.StoreId, location.Key);
    }

    /// <summary>Withholds an image's bytes from everybody but administrators.</summary>
    public Task<Image> DeactivateAsync(Caller caller, string id, CancellationToken cancellationToken) =>
        ChangeAsync(
            caller, id, "deactivate", image => Act(image, i => i.Deactivate(clock.GetUtcNow())), cancellationToken);

    /// <summary>Hands an image's bytes out again.</summary>
    public Task<Image> ReactivateAsync(Caller caller, string id, CancellationToken cancellationToken) =>
        ChangeAsync(
            caller, id, "reactivate", image => Act(image, i => i.Reactivate(clock.GetUtcNow())), cancellationToken);

    /// <summary>Adds a tag; one that is there already is no error.</summary>
    public Task<Image> AddTagAsync(Caller caller, string id, string tag, CancellationToken cancellationToken) =>
        ChangeAsync(
            caller, id,
            image =>
            {
                var isNew = image.AddTag(ImageRules.Tag(tag));
                ImageRules.RequireCount("tags", image.Tags.Count, options.Value.Limits.Tags);
                return isNew;
            },
            cancellationToken);

    /// <summary>Removes a tag.</summary>
    /// <exception cref="RegistryException">NotFound: the image has no such tag.</exception>
    public Task<Image> RemoveTagAsync(Caller caller, string id, string tag, CancellationToken cancellationToken) =>
        ChangeAsync(
            caller, id,
            image => image.RemoveTag(tag)
                ? true
                : throw new RegistryException(ErrorCode.NotFound, $"Image {id} has no tag '{ImageRules.Shown(tag)}'."),
            cancellationToken);

    // What follows asks the storage as the server itself: whoever gets this far may do it.
    private async Task<Image> RequireAsync(
        Caller caller, string id, string rule, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        var image = await ImageQueries.FindAsync(db, id, caller.Viewer, tracking: false, cancellationToken)
            ?? throw NotFound(id);
        policy.Require(caller, rule, image);
        return image;
    }

    private static bool Act(Image image, Action<Image> verb)
    {
        var before = image.Status;
        verb(image);
        return image.Status != before;
    }

    private Image Build(Caller caller, ImageDraft draft)
    {
        schema.RequireComplete(draft.Properties);
        var owner = draft.HasOwner ? ImageRules.Text("owner", draft.Owner) : caller.ProjectId;
        if (owner != caller.ProjectId && !caller.IsAdmin)
        {
            throw new RegistryException(
                ErrorCode.Forbidden,
                $"You are not permitted to create images owned by '{ImageRules.Shown(owner ?? "")}'.");
        }

        var image = Image.Create(
            draft.Id is null ? Guid.CreateVersion7().ToString("D") : ImageRules.Id(draft.Id), owner, clock.GetUtcNow());
        image.Name = ImageRules.Text("name", draft.Name);
        image.Visibility = ImageRules.Visibility(draft.Visibility);
        image.DiskFormat = ImageRules.DiskFormat(draft.DiskFormat);
        image.ContainerFormat = ImageRules.ContainerFormat(draft.ContainerFormat);
        image.MinDisk = ImageRules.Minimum("min_disk", draft.MinDisk);
        image.MinRam = ImageRules.Minimum("min_ram", draft.MinRam);
        image.IsProtected = draft.IsProtected;
        image.IsHidden = draft.IsHidden;
        image.ReplaceTags(draft.Tags.Select(ImageRules.Tag));
        foreach (var (name, value) in draft.Properties)
        {
            protections.Set(caller, image, name, value);
        }

        ImageRules.RequireCount("tags", image.Tags.Count, options.Value.Limits.Tags);
        ImageRules.RequireCount("properties", image.Properties.Count, options.Value.Limits.Properties);
        policy.Require(caller, "add_image", PolicyTarget.OfImage(image));
        policy.RequireVisibility(caller, image);
        return image;
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "image {ImageId} registered for {Owner}")]
        public static partial void Created(ILogger logger, string imageId, string? owner);

        [LoggerMessage(2, LogLevel.Information, "image {ImageId} deleted")]
        public static partial void Deleted(ILogger logger, string imageId);

        [LoggerMessage(5, LogLevel.Information, "image {ImageId}, made for an import that failed, stays: {Why}")]
        public static partial void NotDiscarded(ILogger logger, string imageId, string why);

        [LoggerMessage(4, LogLevel.Information, "image {ImageId} deleted from store {StoreId}")]
        public static partial void Removed(ILogger logger, string imageId, string storeId);
    }
}
