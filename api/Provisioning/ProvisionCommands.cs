using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Api.Jobs;
using Registry.Api.Policy;
using Registry.Api.Stores;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;

namespace Registry.Api.Provisioning;

/// <summary>Orders disks that the server makes: one core for HTTP and gRPC.</summary>
internal sealed class ProvisionCommands(
    StoredDisks disks, ImageCommands images, StoreSet stores, JobQueue queue, JobSignal signal, PolicyEngine policy,
    IOptions<RegistryOptions> options)
{
    /// <summary>Orders a disk.</summary>
    /// <returns>The job that makes it.</returns>
    /// <exception cref="RegistryException">As of <see cref="StoredDisks.OpenAsync"/>. -or- BadRequest: a size or target
    /// that makes no sense. -or- Forbidden: the caller may not write there.</exception>
    public async Task<Job> StartAsync(
        Caller caller, ProvisionOrder order, string? requestId, CancellationToken cancellationToken)
    {
        await using (var stored = await disks.OpenAsync(caller, order.ImageId, cancellationToken))
        {
            stored.SizeFor(order.Size);
        }

        if (order.Target is not null)
        {
            policy.Require(caller, "provision_to_target", PolicyTarget.None);
            ProvisionJob.Target(options.Value, order.Target);
            return await EnqueueAsync(caller, order, requestId, cancellationToken);
        }

        if (order.Store is not null)
        {
            stores.RequireWritable(order.Store);
        }

        var draft = new ImageDraft
        {
            Name = order.Name,
            DiskFormat = order.Format,
            ContainerFormat = "bare",
            Visibility = "private",
        };
        images.RequireFillable(caller, draft);
        var made = await images.CreateAsync(caller, draft, cancellationToken);
        try
        {
            return await EnqueueAsync(caller, order with { NewImageId = made.Id }, requestId, cancellationToken);
        }
        catch
        {
            await images.DeleteAsync(caller, made.Id, CancellationToken.None);
            throw;
        }
    }

    private async Task<Job> EnqueueAsync(
        Caller caller, ProvisionOrder order, string? requestId, CancellationToken cancellationToken)
    {
        var job = await queue.EnqueueAsync(
            ProvisionJob.Order(order) with { Owner = caller.ProjectId, UserId = caller.UserId, RequestId = requestId },
            cancellationToken);
        signal.Set();
        return job;
    }
}
