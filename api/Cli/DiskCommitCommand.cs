using System.CommandLine;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Api.Cli;

/// <summary>registry disk commit.</summary>
internal static class DiskCommitCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "The overlay, a qcow2 image" };
        var format = DiskFile.FormatOption("-f", "Format of FILE [found out]");
        var keep = new Option<bool>("-d") { Description = "Do not empty FILE afterwards" };
        var progress = new Option<bool>("-p") { Description = "Show progress" };
        var passphrase = DiskFile.PassphraseOption();
        var quiet = new Option<bool>("-q") { Description = "Show nothing but errors" };
        var command = new Command("commit", """
            Write what an overlay adds into its backing file, and empty the overlay.
              registry disk commit overlay.qcow2
            """) { file, format, keep, progress, passphrase, quiet };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var path = parsed.GetValue(file)!;
            var (backing, backingFormat) = await BackingAsync(path, cancellationToken);
            await using var edit = await DiskEdit.OpenAsync(
                path, parsed.GetValue(format), parsed.GetValue(passphrase), cancellationToken);
            await using var target = await DiskEdit.OpenAsync(
                backing, backingFormat, parsed.GetValue(passphrase), cancellationToken, isShared: true);
            using var bar = parsed.GetValue(progress) && !parsed.GetValue(quiet)
                ? new ProgressBar("commit", edit.Disk.VirtualSize)
                : null;
            await edit.Qcow.CommitToAsync(
                target.Disk, !parsed.GetValue(keep), ByteProgress.To(bar, edit.Disk), cancellationToken);
            if (!parsed.GetValue(quiet))
            {
                Console.WriteLine("Image committed.");
            }

            return 0;
        });
        return command;
    }

    private static async Task<(string Path, string? Format)> BackingAsync(
        string path, CancellationToken cancellationToken)
    {
        await using var overlay = await DiskFile.OpenAsync(
            path, "qcow2", DiskOpenOptions.Local(path) with { MetadataOnly = true }, cancellationToken);
        var image = (QcowImage)overlay.Image;
        return image.Extensions.BackingName is { } name
            ? (LocalFilesGate.FullName(path, name), image.Extensions.BackingFormat)
            : throw new CommandException("Image does not have a backing file");
    }
}
