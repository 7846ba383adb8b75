using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Api.Import;
using Registry.Api.Jobs;
using Registry.Api.Policy;
using Registry.Api.Stores;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Locations;

/// <summary>What clients ask about locations (spec/glance-v2.md, 4.1 and 4.2).</summary>
/// <remarks>A location that is added names bytes; an import's job takes them over as a blob of the image's own, verified
/// like an upload, and the image is active when that is done and not before.</remarks>
internal sealed class LocationCommands(
    IDbContextFactory<RegistryDb> databases,
    ImportLedger ledger,
    ImageCommands images,
    DiscardedBlobs discarded,
    WholeLocations wholeness,
    LocationSources sources,
    LocationViews views,
    PolicyEngine policy,
    PropertyProtections protections,
    JobSignal signal,
    TimeProvider clock,
    IOptions<RegistryOptions> options)
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(50);

    /// <summary>Gives an image its bytes.</summary>
    /// <exception cref="RegistryException">NotFound, Forbidden; BadRequest for a URL that may be no location, or formats
    /// that were never said; Conflict for an image that is not queued.</exception>
    public async Task AddAsync(
        Caller caller, string id, NewLocation location, string? requestId, CancellationToken cancellationToken)
    {
        var image = await FindAsync(caller, id, cancellationToken);
        policy.Require(caller, "add_image_location", image);
        sources.RequireMayName(caller, location.Url);
        await StartAsync(
            caller, id, location, requestId,
            found =>
            {
                policy.Require(caller, "add_image_location", found);
                if (found.Status != ImageStatus.Queued)
                {
                    throw new RegistryException(
                        ErrorCode.Conflict,
                        $"It's not allowed to add locations if image status is {ImageStatuses.Name(found.Status)}.",
                        "wrong_status");
                }

                found.RequireFormats();
            },
            cancellationToken);
    }

    /// <summary>An image's locations, for services.</summary>
    /// <exception cref="RegistryException">NotFound, Forbidden.</exception>
    public async Task<IReadOnlyList<ImageLocation>> ListAsync(
        Caller caller, string id, CancellationToken cancellationToken)
    {
        var image = await FindAsync(caller, id, cancellationToken);
        policy.Require(caller, "fetch_image_location", image);
        return LocationEdits.InOrder(image);
    }

    /// <summary>Applies a patch that changes locations, among others.</summary>
    /// <returns>The image as it is then: importing, where its bytes are not verified within the configured
    /// patience.</returns>
    /// <exception cref="RegistryException">What <see cref="ImageChanges.Apply"/> and <see cref="LocationEdits.Apply"/>
    /// throw; BadRequest for bytes that cannot be had or are refused.</exception>
    public async Task<Image> PatchAsync(
        Caller caller, string id, ImagePatch patch, string? requestId, CancellationToken cancellationToken)
    {
        var before = await images.GetAsync(caller, id, cancellationToken);
        if (!options.Value.Locations.ShowMultiple)
        {
            throw new RegistryException(
                ErrorCode.Forbidden,
                "It's not allowed to add, replace or remove locations if locations are invisible.");
        }

        var limits = options.Value.Limits;
        var isWhole = await wholeness.FindAsync(
            LocationEdits.Removes(patch) ? before.Locations : [], cancellationToken);
        var edits = new LocationEdits(caller, patch, policy, clock, limits) { UrlOf = views.UrlOf, IsWhole = isWhole };
        bool Change(Image image)
        {
            edits.Begin();
            return ImageChanges.Apply(caller, image, patch, limits, protections, edits);
        }

        if (before.Status == ImageStatus.Queued && edits.Named.FirstOrDefault() is { } location)
        {
            policy.Require(caller, "set_image_location", before);
            sources.RequireMayName(caller, location.Url);
            var job = await StartAsync(
                caller, id, location, requestId,
                image =>
                {
                    images.Apply(caller, image, "modify_image", Change);
                    if (edits.Added != location)
                    {
                        throw new RegistryException(
                            ErrorCode.Conflict, "The image was changed meanwhile; try again.", "wrong_status");
                    }
                },
                cancellationToken);
            await WaitAsync(job, cancellationToken);
            return await images.GetAsync(caller, id, cancellationToken);
        }

        var changed = await images.ChangeAsync(caller, id, Change, cancellationToken);
        foreach (var removed in edits.Removed)
        {
            await discarded.RemoveAsync(removed.StoreId, removed.Key);
        }

        return changed;
    }

    private async Task<Job> StartAsync(
        Caller caller,
        string id,
        NewLocation location,
        string? requestId,
        Action<Image> prepare,
        CancellationToken cancellationToken)
    {
        var target = sources.TargetOf(sources.Resolve(location.Url));
        var order = ImportOrder.OfLocation(location, target.Id).ToJob() with
        {
            Owner = caller.ProjectId,
            UserId = caller.UserId,
            RequestId = requestId,
        };
        var job = await ledger.StartAsync(
            id, order,
            (image, _, _) =>
            {
                prepare(image);
                image.BeginImport(clock.GetUtcNow());
            },
            cancellationToken);
        signal.Set();
        return job;
    }

    // Clients of PATCH expect the image to be active when it answers, and to be told when it cannot become so.
    private async Task WaitAsync(Job job, CancellationToken cancellationToken)
    {
        var started = clock.GetTimestamp();
        while (clock.GetElapsedTime(started) < options.Value.Locations.Patience)
        {
            await Task.Delay(Look, clock, cancellationToken);
            await using var db = await databases.CreateDbContextAsync(cancellationToken);
            var now = await JobQueries.FindAsync(db, job.Id, Viewer.System, cancellationToken);
            if (now?.Status is JobStatus.Failed or JobStatus.Cancelled)
            {
                throw new RegistryException(
                    ErrorCode.BadRequest, $"Invalid location: {now.Message}", now.FailureCode);
            }

            if (now is null or { EndedAt: not null })
            {
                return;
            }
        }
    }

    private async Task<Image> FindAsync(Caller caller, string id, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await ImageQueries.FindAsync(db, id, caller.Viewer, tracking: false, cancellationToken)
            ?? throw ImageCommands.NotFound(id);
    }
}
