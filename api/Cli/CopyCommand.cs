using System.CommandLine;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>registry copy.</summary>
internal static class CopyCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var image = new Argument<string>("IMAGE") { Description = "The image's id or name" };
        var store = new Option<string>("--to-store") { Description = "The store to copy to", Required = true };
        var noWait = new Option<bool>("--no-wait") { Description = "Do not wait until it is done" };
        var command = new Command("copy", "Copy an image's bytes to another store.") { image, store, noWait };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            var found = await registry.FindImageAsync(parsed.GetValue(image)!, cancellationToken);
            var job = await registry.Jobs.CopyAsync(
                new CopyImageRequest { ImageId = found.Id, Store = parsed.GetValue(store) }, registry.Headers,
                cancellationToken: cancellationToken);
            if (!parsed.GetValue(noWait))
            {
                job = await JobsCommand.WaitAsync(registry, new GetJobRequest { Id = job.Id }, cancellationToken);
            }

            JobOutput.Write(job, output.IsJson(parsed));
            return job.Status is "failed" or "cancelled" ? 1 : 0;
        });
        return command;
    }
}
