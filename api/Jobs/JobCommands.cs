using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.ImageData;
using Registry.Api.Images;
using Registry.Api.Policy;
using Registry.Api.Stores;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Jobs;

/// <summary>What can be done with jobs: one core for HTTP and gRPC.</summary>
internal sealed class JobCommands(
    IDbContextFactory<RegistryDb> databases,
    JobQueue queue,
    JobAttempts attempts,
    JobSignal signal,
    StoreSet stores,
    PolicyEngine policy,
    ImageCommands images,
    IOptions<RegistryOptions> options)
{
    /// <summary>Shows a job.</summary>
    /// <exception cref="RegistryException">NotFound.</exception>
    public async Task<Job> GetAsync(Caller caller, string id, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return (Guid.TryParseExact(id, "D", out var parsed)
                ? await JobQueries.FindAsync(db, parsed, caller.Viewer, cancellationToken)
                : null)
            ?? throw new RegistryException(ErrorCode.NotFound, $"No job found with ID {ImageRules.Shown(id)}");
    }

    /// <summary>Lists a page of jobs, newest first.</summary>
    public async Task<IReadOnlyList<Job>> ListAsync(
        Caller caller, JobListRequest request, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await JobQueries.ListAsync(db, request, caller.Viewer, cancellationToken);
    }

    /// <summary>Wants a job ended; one that has ended already stays as it is.</summary>
    /// <returns>The job as it is then.</returns>
    /// <exception cref="RegistryException">NotFound. -or- Forbidden: the caller only looks on, or the job is the
    /// registry's own, and always there.</exception>
    public async Task<Job> CancelAsync(Caller caller, string id, CancellationToken cancellationToken)
    {
        var job = await GetAsync(caller, id, cancellationToken);
        if (job.Owner is null)
        {
            throw new RegistryException(ErrorCode.Forbidden, "This job is the registry's own and cannot be cancelled.");
        }

        policy.Require(caller, "cancel_job", PolicyTarget.OfProject(job.Owner));
        await queue.CancelAsync(job.Id, cancellationToken);

        // What waits for a worker need not wait to be given up.
        var owner = $"{ImageUploads.Owner}/cancels {job.Id}";
        if (await queue.LeaseAsync(job.Id, owner, options.Value.Jobs.Lease, cancellationToken) is { } waiting)
        {
            await attempts.RunAsync(waiting, CancellationToken.None);
        }

        return await GetAsync(caller, id, cancellationToken);
    }

    /// <summary>Copies an image's bytes to another store.</summary>
    /// <exception cref="RegistryException">NotFound, Forbidden; BadRequest for a store that is not there; Gone for one
    /// that is read-only; Conflict for an image without bytes.</exception>
    public async Task<Job> CopyAsync(
        Caller caller, string imageId, string storeId, string? requestId, CancellationToken cancellationToken)
    {
        var image = await images.GetAsync(caller, imageId, cancellationToken);
        policy.Require(caller, "copy_image", image);
        stores.RequireWritable(storeId);
        if (image.Locations.Count == 0)
        {
            throw new RegistryException(ErrorCode.Conflict, $"Image {image.Id} has no data.", "no_data");
        }

        return await EnqueueAsync(caller, CopyJob.Order(image.Id, storeId), requestId, cancellationToken);
    }

    /// <summary>Compares stores with the database, and every byte with its digest.</summary>
    /// <exception cref="RegistryException">Forbidden; BadRequest for a store that is not there.</exception>
    public Task<Job> ScrubAsync(
        Caller caller, ScrubRequest request, string? requestId, CancellationToken cancellationToken)
    {
        policy.Require(caller, "scrub", PolicyTarget.None);
        if (request.Store is { } id && stores.Find(id) is null)
        {
            throw new RegistryException(
                ErrorCode.BadRequest, $"There is no store '{ImageRules.Shown(id)}'.", "unknown_store");
        }

        return EnqueueAsync(caller, ScrubJob.Order(request), requestId, cancellationToken);
    }

    private async Task<Job> EnqueueAsync(
        Caller caller, JobOrder order, string? requestId, CancellationToken cancellationToken)
    {
        var job = await queue.EnqueueAsync(
            order with { Owner = caller.ProjectId, UserId = caller.UserId, RequestId = requestId }, cancellationToken);
        signal.Set();
        return job;
    }
}
