using System.CommandLine;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using Grpc.Core;
using Registry.Api.Grpc;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>registry pull: an image's bytes as they were pushed.</summary>
internal static class PullCommand
{
    private const int ZeroBlockBytes = 1 << 20;

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var name = new Argument<string>("IMAGE") { Description = "Id or name" };
        var to = new Option<string>("--to") { Description = "File, block device or pipe to write; - for standard output", Required = true };
        var command = new Command("pull", """
            Download an image's bytes as they were pushed, and check them against the image's hash. Zeroes are not sent.
              registry pull debian --to debian.qcow2
              registry pull debian --to - | ssh host 'dd of=/dev/vg0/debian bs=1M'
            Into a pipe the zeroes are written too; that the bytes are the image's is known at their end.
            """) { name, to };
        TargetRules.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            var image = await registry.FindImageAsync(parsed.GetValue(name)!, cancellationToken);
            await using var target = await PullTarget.OpenAsync(
                parsed.GetValue(to)!, TargetRules.Of(parsed), cancellationToken);
            await target.ReserveAsync(image.Size, cancellationToken); // a device that is too small is left alone
            var (length, hash) = await ReceiveAsync(registry, image, target, cancellationToken);
            if (hash != image.HashValue)
            {
                throw new CommandException(
                    $"what arrived is not the image: its SHA-512 is {hash}, not {image.HashValue}.");
            }

            await target.CompleteAsync(length, cancellationToken);
            return 0;
        });
        return command;
    }

    private static async Task<(long Length, string Hash)> ReceiveAsync(
        Connection registry, Image image, PullTarget target, CancellationToken cancellationToken)
    {
        using var progress = new ProgressBar("pull", image.Size);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA512);
        long offset = 0;
        for (var (damaged, isWhole) = (0, false); !isWhole;)
        {
            var from = offset;
            try
            {
                await foreach (var message in ReadAsync(registry, image.Id, offset, cancellationToken))
                {
                    if (LengthOf(message) < 0 || LengthOf(message) > image.Size - offset)
                    {
                        throw new CommandException($"the server sends more than the image's {image.Size} bytes.");
                    }

                    var length = await TakeAsync(message, offset, target, hash, cancellationToken);
                    offset += length;
                    progress.Add(length);
                }

                isWhole = true;
            }
            catch (DamagedMessageException) when (offset > from || ++damaged < DamagedMessageException.AttemptsMax)
            {
                damaged = offset > from ? 0 : damaged;
            }
        }

        return (offset, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    // Where one message has a checksum all have: one without is one whose checksum was damaged.
    private static async IAsyncEnumerable<DownloadResponse> ReadAsync(
        Connection registry, string id, long offset, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var call = registry.Images.Download(
            new DownloadRequest { Id = id, Offset = offset }, registry.Headers, cancellationToken: cancellationToken);
        bool? hasChecksums = null;
        await foreach (var message in call.ResponseStream.ReadAllAsync(cancellationToken))
        {
            hasChecksums ??= message.HasChecksum;
            if (hasChecksums.Value != message.HasChecksum
                || (message.HasChecksum && message.Checksum != WireChecksum.Of(message, offset)))
            {
                throw new DamagedMessageException();
            }

            yield return message;
            offset += LengthOf(message);
        }
    }

    private static long LengthOf(DownloadResponse message) =>
        message.PartCase == DownloadResponse.PartOneofCase.Zeros ? message.Zeros : message.Data.Length;

    private static async Task<long> TakeAsync(
        DownloadResponse message, long offset, PullTarget target, IncrementalHash hash, CancellationToken cancellationToken)
    {
        var length = LengthOf(message);
        if (message.PartCase != DownloadResponse.PartOneofCase.Zeros)
        {
            hash.AppendData(message.Data.Span);
            await target.WriteAsync(offset, message.Data.Memory, cancellationToken);
            return length;
        }

        var zeroes = new byte[Math.Min(length, ZeroBlockBytes)];
        for (var rest = length; rest > 0; rest -= Math.Min(rest, zeroes.Length))
        {
            hash.AppendData(zeroes, 0, (int)Math.Min(rest, zeroes.Length));
        }

        await target.ZeroAsync(offset, length, cancellationToken);
        return length;
    }
}
