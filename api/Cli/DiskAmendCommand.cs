using System.CommandLine;
using System.Globalization;
using Registry.Engine.Qcow2.Writing;

namespace Registry.Api.Cli;

/// <summary>registry disk amend.</summary>
internal static class DiskAmendCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "A qcow2 image" };
        var format = DiskFile.FormatOption("-f", "Format of FILE [found out]");
        var options = new Option<string[]>("-o")
        {
            Description = "What changes, comma-separated: compat=0.10|1.1, lazy_refcounts=on|off, refcount_bits=N, "
                + "data_file_raw=off, size=SIZE",
            Required = true,
        };
        var progress = new Option<bool>("-p") { Description = "Show progress" };
        var cache = DiskFile.CacheOption("-t", "FILE");
        var force = new Option<bool>("--force") { Description = "Accepted: nothing here is unsafe" };
        var passphrase = DiskFile.PassphraseOption();
        var quiet = new Option<bool>("-q") { Description = "Show nothing but errors" };
        var command = new Command("amend", """
            Change the shape of an image; its content stays.
              registry disk amend -o compat=0.10 disk.qcow2
              registry disk amend -o refcount_bits=64,lazy_refcounts=on disk.qcow2
            """) { file, format, options, progress, cache, force, passphrase, quiet };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var wanted = OptionText.Parse(parsed.GetValue(options)!);
            var amendment = Read(wanted);
            if (wanted.ContainsKey("backing_file") || wanted.ContainsKey("backing_fmt"))
            {
                throw new CommandException("Cannot amend the backing file; use rebase instead.");
            }

            var size = wanted.TryGetValue("size", out var text) ? checked(Sizes.Parse(text) + 511) & ~511L : (long?)null;
            await using var edit = await DiskEdit.OpenUndoableAsync(
                parsed.GetValue(file)!, parsed.GetValue(format), parsed.GetValue(passphrase), cancellationToken);
            var qcow = edit.Qcow;
            using var shown = DiskProgress.Begin(
                parsed.GetValue(progress) && !parsed.GetValue(quiet), "amend", edit.Disk.VirtualSize);
            await edit.ChangeAsync(async () =>
            {
                if (size is { } bytes)
                {
                    await qcow.ResizeAsync(bytes, cancellationToken);
                }

                await qcow.AmendAsync(amendment, cancellationToken);
            });
            shown?.Complete();
            return 0;
        });
        return command;
    }

    private static QcowAmendment Read(Dictionary<string, string> options)
    {
        var amendment = new QcowAmendment();
        foreach (var (key, value) in options)
        {
            amendment = key switch
            {
                "compat" => amendment with { Version = OptionText.Version(value) },
                "lazy_refcounts" => amendment with { LazyRefcounts = OptionText.Flag(value) },
                "data_file_raw" => amendment with { IsDataFileRaw = OptionText.Flag(value) },
                "refcount_bits" => amendment with { RefcountBits = OptionText.Number(value) },
                "size" or "backing_file" or "backing_fmt" => amendment,
                _ => throw new CommandException($"Invalid parameter '{key}'"),
            };
        }

        return amendment;
    }
}
