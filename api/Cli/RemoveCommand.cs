using System.CommandLine;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>registry rm.</summary>
internal static class RemoveCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var names = new Argument<string[]>("IMAGE") { Description = "Ids or names", Arity = ArgumentArity.OneOrMore };
        var command = new Command("rm", "Delete images and their bytes.") { names };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            foreach (var name in parsed.GetValue(names)!)
            {
                var image = await registry.FindImageAsync(name, cancellationToken);
                await registry.Images.DeleteAsync(
                    new DeleteImageRequest { Id = image.Id }, registry.Headers, cancellationToken: cancellationToken);
            }

            return 0;
        });
        return command;
    }
}
