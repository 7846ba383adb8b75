using System.CommandLine;
using Registry.Engine.Disks;

namespace Registry.Api.Cli;

/// <summary>registry disk rebase.</summary>
internal static class DiskRebaseCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "The overlay, a qcow2 image" };
        var backing = new Option<string>("-b") { Description = "The new backing file; \"\" for none", Required = true };
        var backingFormat = DiskFile.TargetFormatOption("-F", "Its format");
        var format = DiskFile.FormatOption("-f", "Format of FILE [found out]");
        var unsafely = new Option<bool>("-u")
        {
            Description = "Only change the name: the new backing file holds the same as the old one",
        };
        var progress = new Option<bool>("-p") { Description = "Show progress" };
        var cache = DiskFile.CacheOption("-t", "FILE");
        var sourceCache = DiskFile.CacheOption("-T", "the backing files");
        var share = DiskFile.ShareOption();
        var passphrase = DiskFile.PassphraseOption();
        var quiet = new Option<bool>("-q") { Description = "Show nothing but errors" };
        var command = new Command("rebase", """
            Give an overlay another backing file; its content stays the same.
              registry disk rebase -b other.qcow2 -F qcow2 overlay.qcow2
              registry disk rebase -b "" overlay.qcow2
              registry disk rebase -u -b moved/base.qcow2 -F qcow2 overlay.qcow2
            """) { file, backing, backingFormat, format, unsafely, progress, passphrase, cache,
                sourceCache, share, quiet };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var path = parsed.GetValue(file)!;
            var name = parsed.GetValue(backing) is { Length: > 0 } given ? given : null;
            var target = parsed.GetValue(backingFormat);
            if (name is not null && target is null)
            {
                throw new CommandException(
                    $"Could not change the backing file to '{name}': backing format must be specified");
            }

            if (parsed.GetValue(unsafely))
            {
                // Neither the old nor the new one has to be there.
                await using var renamed = await DiskEdit.OpenHeaderAsync(path, cancellationToken);
                await renamed.Qcow.SetBackingAsync(name, target, cancellationToken);
                return 0;
            }

            await using var edit = await DiskEdit.OpenUndoableAsync(
                path, parsed.GetValue(format), parsed.GetValue(passphrase), cancellationToken);
            await using var disk = name is null
                ? null
                : await DiskFile.OpenAsync(
                    LocalFilesGate.FullName(path, name), target, parsed.GetValue(passphrase), parsed.GetValue(share),
                    cancellationToken);
            using var shown = DiskProgress.Begin(
                parsed.GetValue(progress) && !parsed.GetValue(quiet), "rebase", edit.Disk.VirtualSize);
            var qcow = edit.Qcow;
            await edit.ChangeAsync(
                () => qcow.RebaseAsync(disk?.Image, name, target, shown, cancellationToken).AsTask());
            shown?.Complete();
            return 0;
        });
        return command;
    }
}
