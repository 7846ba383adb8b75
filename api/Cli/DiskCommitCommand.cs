using System.CommandLine;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Api.Cli;

/// <summary>registry disk commit.</summary>
internal sealed class DiskCommitCommand
{
    private readonly Argument<string> _file = new("FILE") { Description = "The overlay, a qcow2 image" };
    private readonly Option<string?> _format = DiskFile.FormatOption("-f", "Format of FILE [found out]");
    private readonly Option<string?> _base = new("-b")
    {
        Description = "The image of the backing chain that is written to [the backing file]; FILE is not emptied then, "
            + "and what lies between is of no use any more",
    };
    private readonly Option<bool> _keep = new("-d") { Description = "Do not empty FILE afterwards" };
    private readonly Option<string?> _rate = new("-r") { Description = "Bytes written in a second at most" };
    private readonly Option<string?> _cache = DiskFile.CacheOption("-t", "the files");
    private readonly Option<bool> _progress = new("-p") { Description = "Show progress" };
    private readonly Option<string?> _passphrase = DiskFile.PassphraseOption();
    private readonly Option<bool> _quiet = new("-q") { Description = "Show nothing but errors" };

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var self = new DiskCommitCommand();
        var command = new Command("commit", """
            Write what an overlay adds into its backing file, and empty the overlay.
              registry disk commit overlay.qcow2
              registry disk commit -b base.qcow2 top.qcow2
            """)
        {
            self._file, self._format, self._base, self._keep, self._rate, self._cache, self._progress,
            self._passphrase, self._quiet,
        };
        command.SetAction(self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var path = parsed.GetValue(_file)!;
        var passphrase = parsed.GetValue(_passphrase);
        var isQuiet = parsed.GetValue(_quiet);
        var rate = parsed.GetValue(_rate) is { } text ? Sizes.Parse(text) : (long?)null;
        var isShown = parsed.GetValue(_progress) && !isQuiet;
        if (rate == 0)
        {
            throw new CommandException("Invalid rate limit specified.");
        }

        var below = await BelowAsync(path, parsed.GetValue(_format), parsed.GetValue(_base), cancellationToken);
        if (below.Depth == 1)
        {
            // The one image is changed, and so is the one below it.
            await using var target = await DiskEdit.OpenAsync(
                below.Path, below.Format, passphrase, cancellationToken, isShared: true);
            await using var edit = await DiskEdit.OpenAsync(
                path, "qcow2", passphrase, cancellationToken, claimed: target.Bytes.Identity());
            using var shown = DiskProgress.Begin(isShown, "commit", edit.Disk.VirtualSize);
            var empties = !parsed.GetValue(_keep) && parsed.GetValue(_base) is null;
            await edit.Qcow.CommitToAsync(new PacedDisk(target.Disk, rate), empties, shown, cancellationToken);
            shown?.Complete();
        }
        else
        {
            await using var target = await DiskEdit.OpenAsync(
                below.Path, below.Format, passphrase, cancellationToken, isShared: true);
            var options = DiskFile.Options(path, passphrase, isShared: false) with
            {
                Gate = new LocalFilesGate(path) { Claimed = target.Bytes.Identity() },
            };
            await using var disk = await DiskFile.OpenAsync(path, "qcow2", options, cancellationToken);
            using var shown = DiskProgress.Begin(isShown, "commit", disk.Image.VirtualSize);
            await CommitAsync(disk.Image, target, below.Depth, rate, shown, cancellationToken);
            shown?.Complete();
        }

        if (!isQuiet)
        {
            Console.WriteLine("Image committed.");
        }

        return 0;
    }

    private static async Task CommitAsync(
        DiskImage disk, DiskEdit target, int depths, long? rate, DiskProgress? progress,
        CancellationToken cancellationToken)
    {
        if (target.Disk.VirtualSize < disk.VirtualSize)
        {
            await target.Disk.ResizeAsync(disk.VirtualSize, cancellationToken);
        }

        var options = new OverwriteOptions { OwnDepths = depths, BytesPerSecond = rate, Progress = progress };
        await DiskOverwrite.RunAsync([DiskPart.Whole(disk)], target.Disk, options, cancellationToken);
        await target.Disk.FlushAsync(cancellationToken);
    }

    /// <summary>The image that is written to: the next one below, or the one that was named.</summary>
    private static async Task<(string Path, string? Format, int Depth)> BelowAsync(
        string path, string? format, string? name, CancellationToken cancellationToken)
    {
        var wanted = name is null ? null : Path.GetFullPath(LocalFilesGate.FullName(path, name));
        var (image, imageFormat) = (path, format);
        for (var depth = 1; depth <= DiskOpenOptions.Local(path).Limits.MaxChainImages; depth++)
        {
            if (await BackingAsync(image, imageFormat, cancellationToken) is not { } backing)
            {
                throw new CommandException(depth == 1
                    ? "Image does not have a backing file"
                    : $"Did not find '{name}' in the backing chain of '{path}'");
            }

            if (wanted is null || wanted == Path.GetFullPath(backing.Path))
            {
                return (backing.Path, backing.Format, depth);
            }

            (image, imageFormat) = backing;
        }

        throw new CommandException($"The backing chain of '{path}' is too long");
    }

    private static async Task<(string Path, string? Format)?> BackingAsync(
        string path, string? format, CancellationToken cancellationToken)
    {
        await using var file = await DiskFile.OpenAsync(
            path, format, DiskFile.Options(path, null, isShared: true) with { MetadataOnly = true }, cancellationToken);
        return file.Image is QcowImage { Extensions: { BackingName: { } name } extensions }
            ? (LocalFilesGate.PathOf(path, name), extensions.BackingFormat)
            : null;
    }
}
