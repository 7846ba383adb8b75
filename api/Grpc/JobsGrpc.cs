using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Registry.Api.Auth;
using Registry.Api.Jobs;
using Registry.Api.Provisioning;
using Registry.Protos.V1;
using Registry.Storage.Domain;

namespace Registry.Api.Grpc;

/// <summary>registry.v1.Jobs.</summary>
internal sealed class JobsGrpc(JobCommands commands, ProvisionCommands provisions, TimeProvider clock) : Protos.V1.Jobs.JobsBase
{
    private static readonly TimeSpan WatchInterval = TimeSpan.FromMilliseconds(250);

    /// <inheritdoc/>
    public override async Task<Protos.V1.Job> Get(GetJobRequest request, ServerCallContext context) =>
        Message(await commands.GetAsync(CallerOf(context), request.Id, context.CancellationToken));

    /// <inheritdoc/>
    public override async Task<ListJobsResponse> List(ListJobsRequest request, ServerCallContext context)
    {
        var wanted = JobEndpoints.ReadList(
            request.Kind, request.Status, request.ImageId, request.PageSize == 0 ? "" : $"{request.PageSize}",
            request.Marker);
        var jobs = await commands.ListAsync(CallerOf(context), wanted, context.CancellationToken);
        var response = new ListJobsResponse
        {
            NextMarker = jobs.Count == wanted.Limit ? jobs[^1].Id.ToString("D") : "",
        };
        response.Jobs.AddRange(jobs.Select(Message));
        return response;
    }

    /// <inheritdoc/>
    public override async Task Watch(
        GetJobRequest request, IServerStreamWriter<Protos.V1.Job> responseStream, ServerCallContext context)
    {
        var cancellation = context.CancellationToken;
        DateTimeOffset? told = null;
        while (true)
        {
            var job = await commands.GetAsync(CallerOf(context), request.Id, cancellation);
            if (job.UpdatedAt != told)
            {
                await responseStream.WriteAsync(Message(job), cancellation);
                told = job.UpdatedAt;
            }

            if (JobStatuses.IsEnded(job.Status))
            {
                return;
            }

            await Task.Delay(WatchInterval, clock, cancellation);
        }
    }

    /// <inheritdoc/>
    public override async Task<Protos.V1.Job> Cancel(GetJobRequest request, ServerCallContext context) =>
        Message(await commands.CancelAsync(CallerOf(context), request.Id, context.CancellationToken));

    /// <inheritdoc/>
    public override async Task<Protos.V1.Job> Copy(CopyImageRequest request, ServerCallContext context) =>
        Message(await commands.CopyAsync(
            CallerOf(context), request.ImageId, request.Store, RequestId(context), context.CancellationToken));

    /// <inheritdoc/>
    public override async Task<Protos.V1.Job> Provision(ProvisionImageRequest request, ServerCallContext context) =>
        Message(await provisions.StartAsync(
            CallerOf(context),
            ProvisionOrder.Of(
                request.ImageId, request.Target, request.Name, request.Format, request.Size, request.Store),
            RequestId(context),
            context.CancellationToken));

    /// <inheritdoc/>
    public override async Task<Protos.V1.Job> Scrub(ScrubStoresRequest request, ServerCallContext context) =>
        Message(await commands.ScrubAsync(
            CallerOf(context),
            new ScrubRequest(request.Store.Length > 0 ? request.Store : null, !request.SkipData, request.Apply),
            RequestId(context),
            context.CancellationToken));

    private static Protos.V1.Job Message(Storage.Domain.Job job) => new()
    {
        Id = job.Id.ToString("D"),
        Kind = job.Kind,
        Status = JobStatuses.Name(job.Status),
        ImageId = job.ImageId ?? "",
        Owner = job.Owner ?? "",
        Step = job.Step ?? "",
        Done = job.Done,
        Total = job.Total ?? 0,
        Attempt = job.Attempt,
        Reason = job.FailureCode ?? "",
        Message = job.Message ?? "",
        Result = job.Result ?? "",
        CreatedAt = Timestamp.FromDateTimeOffset(job.CreatedAt),
        UpdatedAt = Timestamp.FromDateTimeOffset(job.UpdatedAt),
        EndedAt = job.EndedAt is { } ended ? Timestamp.FromDateTimeOffset(ended) : null,
    };

    private static string RequestId(ServerCallContext context) => context.GetHttpContext().TraceIdentifier;

    private static Caller CallerOf(ServerCallContext context) => Caller.Of(context.GetHttpContext());
}
