using System.CommandLine;
using System.Security.Cryptography;
using Grpc.Core;
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
        var to = new Option<string>("--to") { Description = "File to write", Required = true };
        var command = new Command("pull", """
            Download an image's bytes as they were pushed, and check them against the image's hash. Zeroes are not sent.
              registry pull debian --to debian.qcow2
            """) { name, to };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            var image = await registry.FindImageAsync(parsed.GetValue(name)!, cancellationToken);
            await using var target = TargetFile.Open(parsed.GetValue(to)!);
            var hash = await ReceiveAsync(registry, image, target, cancellationToken);
            if (hash != image.HashValue)
            {
                throw new CommandException(
                    $"what arrived is not the image: its SHA-512 is {hash}, not {image.HashValue}.");
            }

            await target.Bytes.FlushAsync(cancellationToken);
            target.Publish();
            return 0;
        });
        return command;
    }

    private static async Task<string> ReceiveAsync(
        Connection registry, Image image, TargetFile target, CancellationToken cancellationToken)
    {
        using var progress = new ProgressBar("pull", image.Size);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA512);
        using var call = registry.Images.Download(
            new DownloadRequest { Id = image.Id }, registry.Headers, cancellationToken: cancellationToken);
        var zeroes = new byte[ZeroBlockBytes];
        long offset = 0;
        await foreach (var message in call.ResponseStream.ReadAllAsync(cancellationToken))
        {
            var length = message.PartCase == DownloadResponse.PartOneofCase.Zeros ? message.Zeros : message.Data.Length;
            if (message.PartCase == DownloadResponse.PartOneofCase.Zeros)
            {
                for (var rest = length; rest > 0; rest -= Math.Min(rest, zeroes.Length))
                {
                    hash.AppendData(zeroes, 0, (int)Math.Min(rest, zeroes.Length));
                }

                if (!target.IsZero)
                {
                    await target.Bytes.ZeroAsync(offset, length, cancellationToken);
                }
            }
            else
            {
                hash.AppendData(message.Data.Span);
                await target.Bytes.WriteAsync(offset, message.Data.Memory, cancellationToken);
            }

            offset += length;
            progress.Add(length);
        }

        await target.Bytes.SetLengthAsync(offset, cancellationToken);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
