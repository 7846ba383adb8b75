using System.CommandLine;
using Registry.Engine.Bytes;
using Registry.Engine.Qcow2.Writing;

namespace Registry.Api.Cli;

/// <summary>registry disk resize.</summary>
internal static class DiskResizeCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "The image file" };
        var size = new Argument<string>("SIZE") { Description = "New size; +SIZE or -SIZE: relative to the old one" };
        var format = DiskFile.FormatOption("-f", "Format of FILE [found out]");
        var shrink = new Option<bool>("--shrink") { Description = "Allow to cut off what lies after the new end" };
        var preallocation = new Option<string?>("--preallocation")
        {
            Description = "What of the new space exists already: off, metadata, falloc or full [off]",
        };
        var passphrase = DiskFile.PassphraseOption();
        var quiet = new Option<bool>("-q") { Description = "Show nothing but errors" };
        var command = new Command("resize", """
            Change the size of a disk.
              registry disk resize disk.qcow2 +2G
              registry disk resize --preallocation=falloc disk.raw 12G
              registry disk resize --shrink disk.qcow2 8G
            """) { file, size, format, shrink, preallocation, passphrase, quiet };

        // "-2G" is a size, not an option.
        command.TreatUnmatchedTokensAsErrors = true;
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var reserved = DiskShape.ReadPreallocation(parsed.GetValue(preallocation) ?? "off");
            await using var edit = await DiskEdit.OpenUndoableAsync(
                parsed.GetValue(file)!, parsed.GetValue(format), parsed.GetValue(passphrase), cancellationToken);
            var old = edit.Disk.VirtualSize;
            var wanted = Target(parsed.GetValue(size)!, old);
            if (wanted < old && !parsed.GetValue(shrink))
            {
                throw new CommandException(
                    "Use the --shrink option to perform a shrink operation. "
                    + "Shrinking an image will delete all data beyond the shrunken image's end.");
            }

            if (wanted < old && reserved != Preallocation.Off)
            {
                throw new CommandException("Preallocation can only be used for growing images");
            }

            if (wanted < old)
            {
                // What is cut off was asked to be lost: keeping it meanwhile would take as much memory.
                edit.Forget();
            }

            await edit.ChangeAsync(() => ResizeAsync(edit, old, wanted, reserved, cancellationToken));
            if (!parsed.GetValue(quiet))
            {
                Console.WriteLine("Image resized.");
            }

            return 0;
        });
        return command;
    }

    private static async Task ResizeAsync(
        DiskEdit edit, long old, long size, Preallocation preallocation, CancellationToken cancellationToken)
    {
        if (edit.Disk is QcowDisk qcow)
        {
            if (preallocation is Preallocation.FAlloc or Preallocation.Full && size > old)
            {
                // All of the space, or none of it, before a table is changed.
                edit.ReserveAtEnd(NewDisk.RoomFor(qcow.Shape, size) - NewDisk.RoomFor(qcow.Shape, old), size - old);
            }

            await qcow.ResizeAsync(size, cancellationToken);
            await NewDisk.PreallocateAsync(edit.Bytes, qcow, old, preallocation, cancellationToken);
            return;
        }

        if (preallocation == Preallocation.Metadata)
        {
            throw new CommandException("Unsupported preallocation mode 'metadata'");
        }

        await edit.Disk.ResizeAsync(size, cancellationToken);
        await edit.Bytes.PreallocateAsync(preallocation, old, size - old, cancellationToken);
    }

    private static long Target(string text, long old)
    {
        var size = text[0] switch
        {
            '+' => checked(old + Sizes.Parse(text[1..])),
            '-' => old - Sizes.Parse(text[1..]),
            _ => Sizes.Parse(text),
        };
        return size >= 0
            ? checked(size + 511) & ~511L
            : throw new CommandException("The new size must not be negative.");
    }
}
