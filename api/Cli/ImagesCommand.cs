using System.CommandLine;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>registry images.</summary>
internal static class ImagesCommand
{
    private const int PageSize = 1000;

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var name = new Option<string>("--name")
        {
            Description = "Only images of this name",
            DefaultValueFactory = _ => "",
        };
        var status = new Option<string>("--status")
        {
            Description = "Only images in this status",
            DefaultValueFactory = _ => "",
        };
        var tags = new Option<string[]>("--tag") { Description = "Only images with this tag; may be repeated" };
        var command = new Command("images", "List images, newest first.") { name, status, tags };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            var request = new ListImagesRequest
            {
                Name = parsed.GetValue(name),
                Status = parsed.GetValue(status),
                PageSize = PageSize,
            };
            request.Tags.AddRange(parsed.GetValue(tags) ?? []);
            List<Image> images = [];
            do
            {
                var page = await registry.Images.ListAsync(
                    request, registry.Headers, cancellationToken: cancellationToken);
                images.AddRange(page.Images);
                request.Marker = page.NextMarker;
            }
            while (request.Marker.Length > 0);

            if (output.IsJson(parsed))
            {
                OutputOption.WriteJson(json =>
                {
                    json.WriteStartArray();
                    images.ForEach(image => ImageOutput.WriteJson(json, image));
                    json.WriteEndArray();
                });
            }
            else
            {
                ImageOutput.WriteTable(images);
            }

            return 0;
        });
        return command;
    }
}
