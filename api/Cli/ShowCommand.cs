using System.CommandLine;

namespace Registry.Api.Cli;

/// <summary>registry show.</summary>
internal static class ShowCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var name = new Argument<string>("IMAGE") { Description = "Id or name" };
        var command = new Command("show", "Show an image.") { name };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            var image = await registry.FindImageAsync(parsed.GetValue(name)!, cancellationToken);
            if (output.IsJson(parsed))
            {
                OutputOption.WriteJson(json => ImageOutput.WriteJson(json, image));
            }
            else
            {
                ImageOutput.WriteHuman(image);
            }

            if (image.Properties.TryGetValue(Storage.Domain.Image.NestedReference, out var nested))
            {
                await Console.Error.WriteLineAsync(
                    $"registry: warning: the disk of this image is itself a disk image that refers to another file ({nested}): " +
                    "name the format of what is made of it (raw) wherever it is used");
            }

            return 0;
        });
        return command;
    }
}
