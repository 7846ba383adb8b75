using System.CommandLine;
using Grpc.Core;
using Registry.Api.Grpc;
using Registry.Engine.Bytes;
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
        var format = new Option<string?>("--disk-format", "-f")
        {
            Description = "Disk format; required for compressed files, archives and LUKS volumes [default: detected]",
        };
        var container = new Option<string?>("--container-format")
        {
            Description = "Container format [default: bare; compressed or ova for such a file]",
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
            var image = await FindAsync(registry, draft, cancellationToken);
            if (image is null)
            {
                (draft.DiskFormat, draft.ContainerFormat) = await PushedFormats.OfAsync(
                    source, path.Name, parsed.GetValue(format), parsed.GetValue(container), cancellationToken);
                image = await registry.Images.CreateAsync(
                    draft, registry.Headers, cancellationToken: cancellationToken);
            }

            RequireAsked(image, draft);
            image = await new ImagePush(registry, image.Id, source).RunAsync(cancellationToken);
            Print(image, parsed.GetValue(quiet), output.IsJson(parsed));
            return 0;
        });
        return command;
    }

    private static async Task<Image?> FindAsync(
        Connection registry, CreateImageRequest draft, CancellationToken cancellationToken)
    {
        if (draft.Id.Length == 0)
        {
            return null;
        }

        try
        {
            return await registry.Images.GetAsync(
                new GetImageRequest { Id = draft.Id }, registry.Headers, cancellationToken: cancellationToken);
        }
        catch (RpcException e) when (e.StatusCode == StatusCode.NotFound)
        {
            return null; // a new image with an id of the user's choice
        }
    }

    // A bit that flips on the way registers something else.
    private static void RequireAsked(Image image, CreateImageRequest draft)
    {
        var isAsked = draft.Id.Length > 0
            ? image.Id.Equals(draft.Id, StringComparison.OrdinalIgnoreCase)
            : image.Name == draft.Name && image.DiskFormat == draft.DiskFormat
                && image.ContainerFormat == draft.ContainerFormat && image.Visibility == draft.Visibility
                && draft.Tags.All(image.Tags.Contains)
                && draft.Properties.All(p => image.Properties.TryGetValue(p.Key, out var value) && value == p.Value);
        if (!isAsked)
        {
            throw new CommandException(
                $"image {image.Id} was registered otherwise than asked: the request or its answer was damaged on the way; "
                + "compare 'registry show' with what was asked. (damaged_on_the_way)");
        }
    }

    private static void Print(Image image, bool isQuiet, bool isJson)
    {
        if (isQuiet)
        {
            Terminal.WriteLine(image.Id);
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
