using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Api.Import;
using Registry.Api.Outbound;
using Registry.Api.Policy;
using Registry.Api.Schemas;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Tasks;

/// <summary>What clients ask about tasks. A task is an import's job, shown as Glance shows it.</summary>
internal sealed class TaskCommands(
    IDbContextFactory<RegistryDb> databases,
    PolicyEngine policy,
    ImageCommands images,
    ImportCommands imports,
    OutboundClient outbound,
    CustomProperties custom)
{
    /// <summary>Refuses whoever may not use tasks at all.</summary>
    /// <exception cref="RegistryException">Forbidden.</exception>
    public void RequireAccess(Caller caller) => policy.Require(caller, "tasks_api_access", PolicyTarget.None);

    /// <summary>Makes an image and starts to download its bytes. Should that fail, the image goes again.</summary>
    /// <exception cref="RegistryException">Forbidden; BadRequest for what makes no sense or may not be downloaded; what
    /// <see cref="ImageCommands.CreateAsync"/> refuses.</exception>
    public async Task<Job> CreateAsync(
        Caller caller, JsonElement body, string? requestId, CancellationToken cancellationToken)
    {
        RequireAccess(caller);
        policy.Require(caller, "add_task", PolicyTarget.None);
        imports.RequireOffered(ImportMethods.Web);
        var request = TaskRequest.Read(body, custom);
        outbound.Urls.Read(request.Uri);
        var image = await images.CreateAsync(caller, request.Image, cancellationToken);
        var import = new ImportRequest { Method = ImportMethods.Web, Uri = request.Uri, TaskInput = request.Input };
        try
        {
            return await imports.StartAsync(caller, image.Id, import, storeHeader: null, token: null, requestId, cancellationToken);
        }
        catch (RegistryException)
        {
            await images.DiscardAsync(image.Id);
            throw;
        }
    }

    /// <summary>Shows a task.</summary>
    /// <exception cref="RegistryException">Forbidden, NotFound.</exception>
    public async Task<Job> GetAsync(Caller caller, string id, CancellationToken cancellationToken)
    {
        RequireAccess(caller);
        policy.Require(caller, "get_task", PolicyTarget.None);
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        var job = Guid.TryParse(id, out var parsed)
            ? await JobQueries.FindAsync(db, parsed, caller.Viewer, cancellationToken)
            : null;
        return job?.Kind == ImportOrder.Kind
            ? job
            : throw new RegistryException(
                ErrorCode.NotFound, $"Task not found for task_id {ImageRules.Shown(id)}");
    }

    /// <summary>Lists a page of tasks.</summary>
    /// <exception cref="RegistryException">Forbidden; BadRequest for a marker that is no task's.</exception>
    public async Task<IReadOnlyList<Job>> ListAsync(
        Caller caller, JobListRequest request, CancellationToken cancellationToken)
    {
        RequireAccess(caller);
        policy.Require(caller, "get_tasks", PolicyTarget.None);
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        if (request.Marker is { } marker
            && await JobQueries.FindAsync(db, marker, caller.Viewer, cancellationToken) is null)
        {
            throw new RegistryException(ErrorCode.NotFound, $"Task not found for task_id {marker}");
        }

        return await JobQueries.ListAsync(db, request with { Kind = ImportOrder.Kind }, caller.Viewer, cancellationToken);
    }

    /// <summary>Whether a caller may see where a task takes bytes from and which user asked for it: that user, and
    /// administrators.</summary>
    public static bool IsOwn(Caller caller, Job job) =>
        caller.IsAdmin
        || (job.Owner is not null && job.Owner == caller.ProjectId && job.UserId is not null && job.UserId == caller.UserId);

    /// <summary>Lists the tasks of an image: its owner and administrators see all, whoever asked for them; others their
    /// own.</summary>
    /// <exception cref="RegistryException">NotFound.</exception>
    public async Task<IReadOnlyList<Job>> ListAsync(
        Caller caller, string imageId, CancellationToken cancellationToken)
    {
        var image = await images.GetAsync(caller, imageId, cancellationToken);
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await JobQueries.ListAsync(
            db,
            new JobListRequest(JobListRequest.LimitMax) { Kind = ImportOrder.Kind, ImageId = image.Id },
            caller.Viewer.MayChange(image) ? Viewer.System : caller.Viewer,
            cancellationToken);
    }
}
