using System.Security.Cryptography;
using Google.Protobuf;
using Grpc.Core;
using Registry.Api.Grpc;
using Registry.Api.ImageData;
using Registry.Engine.Bytes;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>Sends a file as an image's bytes, and makes sure that the registry has these bytes: every message has a
/// checksum, which the registry requires before the image is active, and the image's SHA-512 is compared in the end.</summary>
/// <param name="registry">Where to.</param>
/// <param name="id">The image, which is queued.</param>
/// <param name="source">The file.</param>
internal sealed class ImagePush(Connection registry, string id, FileBytes source)
{
    private const string Sha512 = "sha512";
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500);

    // SHA-512 of what was sent, once all was.
    private string? _sent;

    /// <summary>Sends it; again, from the start, where it was damaged on the way or the registry had to refuse it for the
    /// moment.</summary>
    /// <returns>The image, active.</returns>
    /// <exception cref="CommandException">The registry refused, or has other bytes.</exception>
    public async Task<Image> RunAsync(CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await RequireSameAsync(await UploadAsync(cancellationToken), cancellationToken);
            }
            catch (RpcException e) when (attempt < DamagedMessageException.AttemptsMax
                && MayPass(e) && !cancellationToken.IsCancellationRequested)
            {
                await Task.Delay(Pause * attempt, cancellationToken);
                if (await FindAsync(cancellationToken) is { } image && IsSame(image))
                {
                    return image; // only its answer was lost
                }
            }
            catch (RpcException e)
            {
                var isQueued = await FindAsync(cancellationToken) is { Status: "queued" };
                throw new CommandException(
                    RegistryCommand.Sentence(e) + (isQueued ? $" Image {id} has no data: push again with --id {id}." : ""));
            }
        }
    }

    // A registry whose database or store is away for a moment answers "unavailable". A frame that was damaged ends the
    // connection, for one side or the other, without a reason.
    private static bool MayPass(RpcException failure)
    {
        if (failure.StatusCode == StatusCode.Unavailable)
        {
            return true;
        }

        try
        {
            return failure.Trailers.GetValueBytes(GrpcErrors.Trailer) is { } trailer
                ? ErrorDetail.Parser.ParseFrom(trailer).Reason == BlobIntake.DamagedOnTheWay
                : failure.StatusCode is StatusCode.Internal or StatusCode.Unknown or StatusCode.Cancelled;
        }
        catch (InvalidProtocolBufferException)
        {
            return true;
        }
    }

    private async Task<Image?> FindAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await registry.Images.GetAsync(
                new GetImageRequest { Id = id }, registry.Headers, cancellationToken: cancellationToken);
        }
        catch (RpcException) when (!cancellationToken.IsCancellationRequested)
        {
            return null; // the next attempt says why
        }
    }

    private async Task<Image> UploadAsync(CancellationToken cancellationToken)
    {
        _sent = null;
        using var progress = new ProgressBar("push", source.Length);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA512);
        using var call = registry.Images.Upload(registry.Headers, cancellationToken: cancellationToken);
        try
        {
            var start = new UploadRequest { Start = new UploadStart { Id = id, Size = source.Length } };
            await call.RequestStream.WriteAsync(WireChecksum.Seal(start, 0), cancellationToken);
            await SendAsync(call.RequestStream, hash, progress, cancellationToken);
            _sent = Convert.ToHexStringLower(hash.GetHashAndReset());
            await call.RequestStream.CompleteAsync();
        }
        catch (Exception e) when (e is RpcException or InvalidOperationException)
        {
            // The server has answered already; why is in the response, awaited below.
        }

        return await call.ResponseAsync;
    }

    private async Task SendAsync(
        IClientStreamWriter<UploadRequest> requests, IncrementalHash hash, ProgressBar progress,
        CancellationToken cancellationToken)
    {
        var buffer = new byte[DataMessages.BytesMax];
        var zeroes = new byte[DataMessages.BytesMax];
        var budget = new ZeroBudget();
        for (long offset = 0; offset < source.Length;)
        {
            var run = await source.RunAsync(offset, cancellationToken);
            if (run.IsHole && budget.TryTake(run.Length))
            {
                await requests.WriteAsync(
                    WireChecksum.Seal(new UploadRequest { Zeros = run.Length }, offset), cancellationToken);
                for (var rest = run.Length; rest > 0; rest -= Math.Min(rest, zeroes.Length))
                {
                    hash.AppendData(zeroes, 0, (int)Math.Min(rest, zeroes.Length));
                }

                progress.Add(run.Length);
                offset += run.Length;
                continue;
            }

            var count = await source.ReadAsync(
                offset, buffer.AsMemory(0, (int)Math.Min(buffer.Length, run.Length)), cancellationToken);
            if (count == 0)
            {
                throw new CommandException("the file became shorter while it was read.");
            }

            var message = new UploadRequest { Data = UnsafeByteOperations.UnsafeWrap(buffer.AsMemory(0, count)) };
            var sending = requests.WriteAsync(WireChecksum.Seal(message, offset), cancellationToken);
            budget.AddData(count);
            hash.AppendData(buffer, 0, count);
            await sending;
            progress.Add(count);
            offset += count;
        }
    }

    // The answer can be damaged too, so one that differs is asked for once more.
    private async Task<Image> RequireSameAsync(Image image, CancellationToken cancellationToken)
    {
        if (IsSame(image))
        {
            return image;
        }

        image = await registry.Images.GetAsync(
            new GetImageRequest { Id = id }, registry.Headers, cancellationToken: cancellationToken);
        return IsSame(image)
            ? image
            : throw new CommandException(
                $"image {id} is not the file: its SHA-512 is {image.HashValue}, not {_sent}, so it was damaged on its way to " +
                "the registry. (damaged_on_the_way)");
    }

    private bool IsSame(Image image) => image.Id.Equals(id, StringComparison.OrdinalIgnoreCase)
        && image.Status == "active" && image.HashAlgorithm == Sha512 && image.HashValue == _sent;
}
