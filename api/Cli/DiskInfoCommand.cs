using System.CommandLine;
using System.Text.Json;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Api.Cli;

/// <summary>registry disk info.</summary>
internal static class DiskInfoCommand
{
    private const int MaxChainImages = 1024;

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "The image file" };
        var format = DiskFile.FormatOption("-f", "Its format [found out]");
        var chain = new Option<bool>("--backing-chain") { Description = "Show the images below it too" };
        var passphrase = DiskFile.PassphraseOption();
        var share = DiskFile.ShareOption();
        var command = new Command("info", "Show what an image file is. Nothing that it refers to is opened.")
        {
            file, format, chain, passphrase, share,
        };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var isChain = parsed.GetValue(chain);
            var images = new List<DiskDescription>();
            await ReadAsync(
                images, parsed.GetValue(file)!, parsed.GetValue(format), isChain, parsed.GetValue(share), cancellationToken);
            if (!output.IsJson(parsed))
            {
                for (var i = 0; i < images.Count; i++)
                {
                    Console.Write(i == 0 ? "" : "\n");
                    images[i].WriteHuman();
                }
            }
            else if (isChain)
            {
                OutputOption.WriteJson(json =>
                {
                    json.WriteStartArray();
                    images.ForEach(image => image.WriteJson(json));
                    json.WriteEndArray();
                });
            }
            else
            {
                OutputOption.WriteJson(images[0].WriteJson);
            }

            return 0;
        });
        return command;
    }

    private static async Task ReadAsync(
        List<DiskDescription> images, string path, string? format, bool isChain, bool isShared,
        CancellationToken cancellationToken)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var next = path; next is not null && (isChain || images.Count == 0);)
        {
            var options = DiskFile.Options(next, null, isShared) with { MetadataOnly = true };
            await using var disk = await DiskFile.OpenAsync(next, format, options, cancellationToken);
            if (!seen.Add(disk.Bytes.Identity()) || images.Count == MaxChainImages)
            {
                throw new CommandException($"Backing file '{next}' creates an infinite loop.");
            }

            var description = await DiskDescription.ReadAsync(disk, next, cancellationToken);
            images.Add(description);
            format = description.BackingFormat;
            next = description.FullBackingName is { } name ? LocalFilesGate.PathOf(next, name) : null;
            format = format is "raw" or "qcow2" ? format : null;
        }
    }
}
