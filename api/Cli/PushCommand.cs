using System.CommandLine;
using Google.Protobuf;
using Grpc.Core;
using Registry.Api.Grpc;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>registry push: a local image file becomes a registered image.</summary>
internal static class PushCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var file = new Argument<FileInfo>("FILE") { Description = "The image file" };
        var name = new Option<string?>("--name") { Description = "Name of the image [the file's name]" };
        var id = new Option<string?>("--id")
        {
            Description = "UUID of the image: a new one, or a queued image to upload to",
        };
        var format = new Option<string?>("--disk-format", "-f") { Description = "Disk format [what the file is]" };
        var container = new Option<string>("--container-format")
        {
            Description = "Container format",
            DefaultValueFactory = _ => "bare",
        };
        var visibility = new Option<string>("--visibility")
        {
            Description = "public, community, shared or private",
            DefaultValueFactory = _ => "shared",
        };
        var tags = new Option<string[]>("--tag") { Description = "Tag; may be repeated" };
        var properties = new Option<string[]>("--property") { Description = "NAME=VALUE; may be repeated" };
        var quiet = new Option<bool>("--quiet", "-q") { Description = "Print only the image's id" };
        var command = new Command("push", """
            Register an image file and upload it. Holes in the file are not sent.
              registry push debian.qcow2 --name debian
            """) { file, name, id, format, container, visibility, tags, properties, quiet };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var path = parsed.GetValue(file)!;
            await using var source = FileBytes.OpenRead(path.FullName);
            var draft = new CreateImageRequest
            {
                Id = parsed.GetValue(id) ?? "",
                Name = parsed.GetValue(name) ?? path.Name,
                DiskFormat = parsed.GetValue(format)
                    ?? FormatNames.Of(await DiskImages.DetectAsync(source, cancellationToken)),
                ContainerFormat = parsed.GetValue(container),
                Visibility = parsed.GetValue(visibility),
            };
            draft.Tags.AddRange(parsed.GetValue(tags) ?? []);
            foreach (var property in parsed.GetValue(properties) ?? [])
            {
                var equals = property.IndexOf('=');
                draft.Properties[equals > 0
                    ? property[..equals]
                    : throw new CommandException($"'{property}' is not NAME=VALUE.")] = property[(equals + 1)..];
            }

            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            var image = await FindOrCreateAsync(registry, draft, cancellationToken);
            image = await UploadAsync(registry, image.Id, source, cancellationToken);
            Print(image, parsed.GetValue(quiet), output.IsJson(parsed));
            return 0;
        });
        return command;
    }

    private static async Task<Image> FindOrCreateAsync(
        Connection registry, CreateImageRequest draft, CancellationToken cancellationToken)
    {
        if (draft.Id.Length > 0)
        {
            try
            {
                return await registry.Images.GetAsync(
                    new GetImageRequest { Id = draft.Id }, registry.Headers, cancellationToken: cancellationToken);
            }
            catch (RpcException e) when (e.StatusCode == StatusCode.NotFound)
            {
                // A new image with an id of the user's choice.
            }
        }

        return await registry.Images.CreateAsync(draft, registry.Headers, cancellationToken: cancellationToken);
    }

    private static async Task<Image> UploadAsync(
        Connection registry, string id, FileBytes source, CancellationToken cancellationToken)
    {
        using var progress = new ProgressBar("push", source.Length);
        using var call = registry.Images.Upload(registry.Headers, cancellationToken: cancellationToken);
        try
        {
            await call.RequestStream.WriteAsync(
                new UploadRequest { Start = new UploadStart { Id = id, Size = source.Length } }, cancellationToken);
            await SendAsync(call.RequestStream, source, progress, cancellationToken);
            await call.RequestStream.CompleteAsync();
        }
        catch (Exception e) when (e is RpcException or InvalidOperationException)
        {
            // The server has answered already; why is in the response, awaited below.
        }

        try
        {
            return await call.ResponseAsync;
        }
        catch (RpcException e)
        {
            throw new CommandException(
                $"{RegistryCommand.Sentence(e)} Image {id} has no data: push again with --id {id}, " +
                "or remove it with 'registry rm'.");
        }
    }

    private static async Task SendAsync(
        IClientStreamWriter<UploadRequest> requests,
        FileBytes source,
        ProgressBar progress,
        CancellationToken cancellationToken)
    {
        var buffer = new byte[DataMessages.BytesMax];
        for (long offset = 0; offset < source.Length;)
        {
            var run = await source.RunAsync(offset, cancellationToken);
            if (run.IsHole)
            {
                await requests.WriteAsync(new UploadRequest { Zeros = run.Length }, cancellationToken);
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

            await requests.WriteAsync(
                new UploadRequest { Data = UnsafeByteOperations.UnsafeWrap(buffer.AsMemory(0, count)) },
                cancellationToken);
            progress.Add(count);
            offset += count;
        }
    }

    private static void Print(Image image, bool isQuiet, bool isJson)
    {
        if (isQuiet)
        {
            Console.WriteLine(image.Id);
        }
        else if (isJson)
        {
            OutputOption.WriteJson(json => ImageOutput.WriteJson(json, image));
        }
        else
        {
            ImageOutput.WriteHuman(image);
        }
    }
}
