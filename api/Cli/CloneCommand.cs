using System.CommandLine;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>registry clone: the server makes a disk of an image.</summary>
internal static class CloneCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var image = new Argument<string>("IMAGE") { Description = "The image's id or name" };
        var name = new Option<string>("--name")
        {
            Description = "Name of the new image, or of the file in the target",
            Required = true,
        };
        var format = new Option<string?>("--format")
        {
            Description = "Format of the disk: raw (the default) or qcow2",
        }.AcceptOnlyFromAmong("raw", "qcow2");
        var size = new Option<long?>("--size")
        {
            Description = "Size of the disk, e.g. 12G; at least the image's virtual size",
            CustomParser = Sizes.ParseOption,
        };
        var store = new Option<string?>("--to-store") { Description = "The store of the new image [the default]" };
        var target = new Option<string?>("--to-target")
        {
            Description = "Make a file in this directory of the server (Registry:Provisioning:Targets) instead",
        };
        var noWait = new Option<bool>("--no-wait") { Description = "Do not wait until it is done" };
        var command = new Command("clone", """
            Have the server make a disk of an image: a new image, converted and grown on the way, or a file in one of the
            server's target directories. No byte passes this machine.
              registry clone debian --name debian-big --format qcow2 --size 40G
              registry clone debian --name vm1.raw --to-target volumes
            """) { image, name, format, size, store, target, noWait };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            var found = await registry.FindImageAsync(parsed.GetValue(image)!, cancellationToken);
            var job = await registry.Jobs.ProvisionAsync(
                new ProvisionImageRequest
                {
                    ImageId = found.Id,
                    Name = parsed.GetValue(name),
                    Format = parsed.GetValue(format) ?? "",
                    Size = parsed.GetValue(size) ?? 0,
                    Store = parsed.GetValue(store) ?? "",
                    Target = parsed.GetValue(target) ?? "",
                },
                registry.Headers,
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
