using Google.Protobuf;
using Grpc.Core;
using HealthV1 = Grpc.Health.V1;
using Registry.Protos.V1;

namespace Registry.Api.Tests.Auth;

/// <summary>How every gRPC method is called.</summary>
internal static class MatrixCalls
{
    private static readonly Dictionary<string, Func<Target, Task>> Calls = new(StringComparer.Ordinal)
    {
        ["/registry.v1.Images/Create"] = async t =>
            await t.Images.CreateAsync(new CreateImageRequest(), t.Headers, cancellationToken: RegistryApp.Stop),
        ["/registry.v1.Images/Get"] = async t =>
            await t.Images.GetAsync(new GetImageRequest { Id = t.Id }, t.Headers, cancellationToken: RegistryApp.Stop),
        ["/registry.v1.Images/List"] = async t =>
            await t.Images.ListAsync(new ListImagesRequest(), t.Headers, cancellationToken: RegistryApp.Stop),
        ["/registry.v1.Images/Update"] = async t => await t.Images.UpdateAsync(
            new UpdateImageRequest { Id = t.Id, Name = "x" }, t.Headers, cancellationToken: RegistryApp.Stop),
        ["/registry.v1.Images/Delete"] = async t => await t.Images.DeleteAsync(
            new DeleteImageRequest { Id = t.Id }, t.Headers, cancellationToken: RegistryApp.Stop),
        ["/registry.v1.Images/Upload"] = UploadAsync,
        ["/registry.v1.Images/Download"] = t => FirstAsync(
            t.Images.Download(new DownloadRequest { Id = t.Id }, t.Headers, cancellationToken: RegistryApp.Stop)),
        ["/registry.v1.Provisioning/GetMap"] = t => FirstAsync(
            t.Provisioning.GetMap(new GetMapRequest { ImageId = t.Id }, t.Headers, cancellationToken: RegistryApp.Stop)),
        ["/registry.v1.Provisioning/ReadDisk"] = t => FirstAsync(
            t.Provisioning.ReadDisk(
                new ReadDiskRequest { ImageId = t.Id }, t.Headers, cancellationToken: RegistryApp.Stop)),
        ["/registry.v1.Provisioning/GetSource"] = async t => await t.Provisioning.GetSourceAsync(
            new GetSourceRequest { ImageId = t.Id }, t.Headers, cancellationToken: RegistryApp.Stop),
        ["/registry.v1.Provisioning/GetChanges"] = t => FirstAsync(
            t.Provisioning.GetChanges(
                new GetChangesRequest { ImageId = t.Id, SinceImageId = t.Id }, t.Headers,
                cancellationToken: RegistryApp.Stop)),
        ["/registry.v1.Jobs/Get"] = async t =>
            await t.Jobs.GetAsync(new GetJobRequest { Id = t.Job }, t.Headers, cancellationToken: RegistryApp.Stop),
        ["/registry.v1.Jobs/List"] = async t =>
            await t.Jobs.ListAsync(new ListJobsRequest(), t.Headers, cancellationToken: RegistryApp.Stop),
        ["/registry.v1.Jobs/Watch"] = t => FirstAsync(
            t.Jobs.Watch(new GetJobRequest { Id = t.Job }, t.Headers, cancellationToken: RegistryApp.Stop)),
        ["/registry.v1.Jobs/Cancel"] = async t =>
            await t.Jobs.CancelAsync(new GetJobRequest { Id = t.Job }, t.Headers, cancellationToken: RegistryApp.Stop),
        ["/registry.v1.Jobs/Copy"] = async t => await t.Jobs.CopyAsync(
            new CopyImageRequest { ImageId = t.Id, Store = "second" }, t.Headers, cancellationToken: RegistryApp.Stop),
        ["/registry.v1.Jobs/Provision"] = async t => await t.Jobs.ProvisionAsync(
            new ProvisionImageRequest { ImageId = t.Id, Name = "made" }, t.Headers,
            cancellationToken: RegistryApp.Stop),
        ["/registry.v1.Jobs/Scrub"] = async t =>
            await t.Jobs.ScrubAsync(new ScrubStoresRequest(), t.Headers, cancellationToken: RegistryApp.Stop),
        ["/grpc.health.v1.Health/Check"] = async t => await new HealthV1.Health.HealthClient(t.Invoker).CheckAsync(
            new HealthV1.HealthCheckRequest(), t.Headers, cancellationToken: RegistryApp.Stop),
        ["/grpc.health.v1.Health/Watch"] = t => FirstAsync(new HealthV1.Health.HealthClient(t.Invoker).Watch(
            new HealthV1.HealthCheckRequest(), t.Headers, cancellationToken: RegistryApp.Stop)),
        ["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] =
            t => ReflectAsync(t, "grpc.reflection.v1.ServerReflection"),
        ["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"] =
            t => ReflectAsync(t, "grpc.reflection.v1alpha.ServerReflection"),
    };

    /// <summary>Whether a method wants an image that has no bytes yet.</summary>
    public static bool WantsEmpty(string method) => method == "/registry.v1.Images/Upload";

    /// <summary>Whether a method is about an image.</summary>
    public static bool IsAboutImage(string method) =>
        method is "/registry.v1.Images/Get" or "/registry.v1.Images/Update" or "/registry.v1.Images/Delete"
            or "/registry.v1.Images/Upload" or "/registry.v1.Images/Download" or "/registry.v1.Jobs/Copy"
            or "/registry.v1.Jobs/Provision"
        || method.StartsWith("/registry.v1.Provisioning/", StringComparison.Ordinal);

    /// <summary>Calls a method.</summary>
    /// <returns>The name of the status.</returns>
    public static async Task<string> CallAsync(MatrixLab lab, string caller, string method, string id)
    {
        var headers = new Metadata();
        if (caller != "none")
        {
            headers.Add("x-auth-token", caller);
        }

        if (!Calls.TryGetValue(method, out var call))
        {
            return "nobody here knows how to call it";
        }

        try
        {
            await call(new Target(lab.App.Grpc.CreateCallInvoker(), headers, id, lab.Job));
            return nameof(StatusCode.OK);
        }
        catch (RpcException e)
        {
            return e.StatusCode.ToString();
        }
    }

    // What cannot be sent to a call that has been refused is told by its answer.
    private static async Task UploadAsync(Target target)
    {
        using var upload = target.Images.Upload(target.Headers, cancellationToken: RegistryApp.Stop);
        try
        {
            await upload.RequestStream.WriteAsync(
                new UploadRequest { Start = new UploadStart { Id = target.Id } }, RegistryApp.Stop);
            await upload.RequestStream.WriteAsync(
                new UploadRequest { Data = ByteString.CopyFromUtf8("content") }, RegistryApp.Stop);
            await upload.RequestStream.CompleteAsync();
        }
        catch (Exception e) when (e is RpcException or InvalidOperationException)
        {
            await upload.ResponseAsync;
            throw;
        }

        await upload.ResponseAsync;
    }

    // The two versions of reflection differ in their name only: what is sent asks for the list of services.
    private static async Task ReflectAsync(Target target, string service)
    {
        var bytes = Marshallers.Create(content => content, content => content);
        var method = new Method<byte[], byte[]>(
            MethodType.DuplexStreaming, service, "ServerReflectionInfo", bytes, bytes);
        using var call = target.Invoker.AsyncDuplexStreamingCall(
            method, null, new CallOptions(target.Headers, cancellationToken: RegistryApp.Stop));
        try
        {
            await call.RequestStream.WriteAsync([0x3A, 0x00], RegistryApp.Stop);
        }
        catch (Exception e) when (e is RpcException or InvalidOperationException)
        {
            await call.ResponseStream.MoveNext(RegistryApp.Stop);
            throw;
        }

        Assert.True(await call.ResponseStream.MoveNext(RegistryApp.Stop));
    }

    private static async Task FirstAsync<T>(AsyncServerStreamingCall<T> call)
    {
        using (call)
        {
            Assert.True(await call.ResponseStream.MoveNext(RegistryApp.Stop));
        }
    }

    private sealed record Target(CallInvoker Invoker, Metadata Headers, string Id, string Job)
    {
        public Protos.V1.Images.ImagesClient Images => new(Invoker);

        public Protos.V1.Provisioning.ProvisioningClient Provisioning => new(Invoker);

        public Protos.V1.Jobs.JobsClient Jobs => new(Invoker);
    }
}
