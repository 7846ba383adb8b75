using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Federation;
using Registry.Api.ImageData;
using Registry.Api.Images;
using Registry.Api.Jobs;
using Registry.Api.Outbound;
using Registry.Api.Policy;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Import;

/// <summary>What clients ask of imports: to stage bytes, and to start.</summary>
internal sealed class ImportCommands(
    IDbContextFactory<RegistryDb> databases,
    ImportLedger ledger,
    ImageStaging staging,
    UploadSlots slots,
    OutboundClient outbound,
    RemoteGlance remotes,
    TokenSeal seal,
    PropertyProtections protections,
    StoreSet stores,
    PolicyEngine policy,
    JobSignal signal,
    TimeProvider clock,
    IOptions<RegistryOptions> options)
{
    /// <summary>The methods that are offered.</summary>
    public IReadOnlyList<string> Methods { get; } = OutboundSection.Split(options.Value.Import.Methods);

    /// <summary>Refuses a method that is not offered.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public void RequireOffered(string method) => ImportRequest.RequireOffered(method, Methods);

    /// <summary>Stages bytes for an import.</summary>
    /// <exception cref="RegistryException">NotFound: no such image, or glance-direct is not offered. Forbidden,
    /// InvalidStatusTransition, TooLarge, Busy, QuotaExceeded; ImageRejected for what no import would take.</exception>
    /// <exception cref="IOException">The client went away or the store failed.</exception>
    public async Task StageAsync(
        Caller caller, string imageId, IUploadBody body, CancellationToken cancellationToken)
    {
        if (!Methods.Contains(ImportMethods.Direct))
        {
            throw new RegistryException(ErrorCode.NotFound, $"{ImportMethods.Direct} is not enabled at this site.");
        }

        var image = await FindAsync(caller, imageId, cancellationToken);
        policy.Require(caller, "modify_image", image);
        using var slot = await slots.TakeAsync(caller.ProjectId, body, cancellationToken);
        await staging.TakeAsync(
            new StagingTarget(image.Id, Job: null, stores.Default, StagedForm.Received) { ProjectId = caller.ProjectId },
            body, IntakeJudge.Lenient, cancellationToken);
    }

    /// <summary>Starts an import.</summary>
    /// <param name="caller">Who asks.</param>
    /// <param name="imageId">The image.</param>
    /// <param name="request">What is asked for.</param>
    /// <param name="storeHeader">The store that a header names; null or empty for none.</param>
    /// <param name="token">The caller's own token, for what is done elsewhere in its name; null or empty for none.</param>
    /// <param name="requestId">The request that asks.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    /// <exception cref="RegistryException">NotFound, Forbidden; BadRequest for what makes no sense; Conflict for an image
    /// that is not in the state for it, that is being imported already, or a store that is not there; Gone for a store
    /// that is read-only.</exception>
    public async Task<Job> StartAsync(
        Caller caller,
        string imageId,
        ImportRequest request,
        string? storeHeader,
        string? token,
        string? requestId,
        CancellationToken cancellationToken)
    {
        var image = await FindAsync(caller, imageId, cancellationToken);
        policy.Require(caller, request.Method == ImportMethods.Copy ? "copy_image" : "modify_image", image);
        var uri = request.Uri is null ? null : outbound.Urls.Read(request.Uri).AbsoluteUri;
        var targets = Targets(request, storeHeader, image);
        RequireState(image, isStaged: true, request.Method);
        var (remote, refusal) = await FindRemoteAsync(request.Remote, token ?? "", cancellationToken);
        var injects = options.Value.Import.Inject.Count > 0
            && !OutboundSection.Split(options.Value.Import.InjectIgnoreRoles)
                .Any(role => caller.Roles.Contains(role.ToLowerInvariant()));
        var wish = new ImportOrder(
            request.Method, uri, targets, request.MustSucceed ?? true, injects,
            NamedStores: request.Stores, AllStores: request.AllStores, TaskInput: request.TaskInput,
            Remote: remote, Refusal: refusal);
        var order = wish.ToJob() with
        {
            Owner = caller.ProjectId,
            UserId = caller.UserId,
            RequestId = requestId,
            Secret = remote is null ? null : seal.Seal(token!, image.Id),
        };
        var job = await ledger.StartAsync(
            image.Id,
            order,
            (found, isStaged, task) =>
            {
                RequireState(found, isStaged, request.Method);
                TakeOver(caller, found, remote);
                if (request.Method != ImportMethods.Copy)
                {
                    if (refusal is null)
                    {
                        RequireFormats(found);
                    }

                    found.BeginImport(clock.GetUtcNow());
                }

                Note(found, task, targets);
            },
            cancellationToken);
        signal.Set();
        return job;
    }

    private async Task<(RemoteImage? Image, RemoteRefusal? Refusal)> FindRemoteAsync(
        GlanceSource? source, string token, CancellationToken cancellationToken)
    {
        if (source is null)
        {
            return (null, null);
        }

        try
        {
            return (await remotes.FindAsync(source, token, cancellationToken), null);
        }
        catch (RegistryException e) when (RemoteGlance.IsElsewhere(e))
        {
            return (null, new RemoteRefusal(source, e.Code, e.Reason, e.Message));
        }
    }

    // What the image is, the other region says; should the import fail, the next one says it anew.
    private void TakeOver(Caller caller, Image image, RemoteImage? remote)
    {
        if (remote is null)
        {
            return;
        }

        image.DiskFormat = ImageRules.DiskFormat(remote.DiskFormat);
        image.ContainerFormat = ImageRules.ContainerFormat(remote.ContainerFormat);
        foreach (var (name, value) in remote.Properties)
        {
            protections.Set(caller, image, name, value);
        }

        ImageRules.RequireCount("properties", image.Properties.Count, options.Value.Limits.Properties);
    }

    private void Note(Image image, Guid task, IReadOnlyList<string> targets)
    {
        image.SetProperty(ImportProperties.Task, task.ToString("D"));
        image.SetProperty(ImportProperties.Stores, stores.IsMultiple ? string.Join(',', targets) : "");
        image.SetProperty(ImportProperties.Failed, "");
        image.Touch(clock.GetUtcNow());
    }

    private static void RequireState(Image image, bool isStaged, string method)
    {
        var problem = (method, image.Status) switch
        {
            (_, ImageStatus.Importing) => "Image has active task",
            (ImportMethods.Copy, not ImageStatus.Active) => "Only images with status active can be targeted for copying",
            (not ImportMethods.Copy, ImageStatus.Active) => "Image with status active cannot be target for import",
            (ImportMethods.Web or ImportMethods.Glance, not ImageStatus.Queued) =>
                $"Image needs to be in 'queued' state to use '{method}' method",
            (ImportMethods.Direct, not ImageStatus.Uploading) =>
                "Image needs to be staged before 'glance-direct' method can be used",
            (ImportMethods.Direct, _) when !isStaged => "The image is still being staged",
            _ => null,
        };
        if (problem is not null)
        {
            throw new RegistryException(ErrorCode.Conflict, problem, "wrong_status");
        }
    }

    private static void RequireFormats(Image image)
    {
        var missing = image.ContainerFormat is null
            ? "container_format"
            : image.DiskFormat is null ? "disk_format" : null;
        if (missing is not null)
        {
            throw new RegistryException(
                ErrorCode.Conflict, $"'{missing}' needs to be set before import", "format_missing");
        }
    }

    private string[] Targets(ImportRequest request, string? header, Image image)
    {
        var isNamed = request.Stores is not null || !string.IsNullOrEmpty(header);
        if (request.AllStores && isNamed)
        {
            throw ImageRules.Bad("All_stores parameter can't be used with x-image-meta-store header or stores parameter");
        }

        if (request.Stores is not null && !string.IsNullOrEmpty(header))
        {
            throw ImageRules.Bad("Stores parameter and x-image-meta-store header can't be both specified");
        }

        if (!stores.IsMultiple)
        {
            return request.MustSucceed == false
                ? throw ImageRules.Bad("All_stores_must_succeed can only be set with enabled_backends.")
                : [stores.Default.Id];
        }

        if (request.AllStores)
        {
            var all = stores.All.Where(store => store.Settings.TakesUploads).Select(store => store.Settings.Id);
            return [.. request.Method == ImportMethods.Copy ? all.Where(id => !Has(image, id)) : all];
        }

        var named = request.Stores is { Count: > 0 } list
            ? list
            : [string.IsNullOrEmpty(header) ? stores.Default.Id : header];
        foreach (var id in named)
        {
            RequireStore(id);
            if (request.Method == ImportMethods.Copy && Has(image, id))
            {
                throw ImageRules.Bad($"Image is already present at store '{id}'");
            }
        }

        return [.. named];
    }

    private static bool Has(Image image, string storeId) => image.Locations.Any(l => l.StoreId == storeId);

    private void RequireStore(string id)
    {
        if (stores.Find(id) is null)
        {
            throw new RegistryException(
                ErrorCode.Conflict, $"There is no store '{ImageRules.Shown(id)}'.", "unknown_store");
        }

        stores.RequireWritable(id);
    }

    private async Task<Image> FindAsync(Caller caller, string imageId, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await ImageQueries.FindAsync(db, imageId, caller.Viewer, tracking: false, cancellationToken)
            ?? throw Images.ImageCommands.NotFound(imageId);
    }
}
