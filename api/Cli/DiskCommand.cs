using System.CommandLine;

namespace Registry.Api.Cli;

/// <summary>registry disk: verbs on local image files, with qemu-img's flags, output and exit codes.</summary>
internal static class DiskCommand
{
    // The tests that run every line with both programs allow these and nothing else.
    private const string Help = """
        Make, look at, check, convert and change local image files, with the verbs, flags and output of qemu-img.
          registry disk info --backing-chain overlay.qcow2
          registry disk convert -c -O qcow2 disk.raw disk.qcow2
          registry disk resize disk.qcow2 +2G
          registry disk VERB --help

        What differs from qemu-img 7.2:
          - Errors have their own words. A file that a verb could not finish is not left behind, and a change that fails is
            undone.
          - An existing file is replaced only with --overwrite, and new files have mode 0600 (--mode).
          - Passphrases come from --passphrase-file; --object, --image-opts and --target-image-opts are not known.
            New encryption is luks, with encrypt.iterations where qemu-img measures encrypt.iter-time. check needs no
            passphrase.
          - Everything goes through the page cache: -t, -T, -i and -n of bench change nothing.
          - check tells how much is wrong, not each place. -p draws a bar when it is on a terminal.
          - An image whose tables lie outside its file is refused, and a damaged qcow2 header is not taken for raw.
          - The relative name of a data file is relative to the image, not to the working directory.
          - convert -l keeps the end of a snapshot that is larger than the disk is now; convert -n -c writes over
            clusters that exist; convert --salvage and -o help are missing.
        """;

    /// <summary>Makes the command.</summary>
    public static Command Create() => new("disk", Help)
    {
        DiskCreateCommand.Create(),
        DiskInfoCommand.Create(),
        DiskMapCommand.Create(),
        DiskConvertCommand.Create(),
        DiskDdCommand.Create(),
        DiskMeasureCommand.Create(),
        DiskCompareCommand.Create(),
        DiskResizeCommand.Create(),
        DiskRebaseCommand.Create(),
        DiskCommitCommand.Create(),
        DiskAmendCommand.Create(),
        DiskBitmapCommand.Create(),
        DiskCheckCommand.Create(),
        DiskSnapshotCommand.Create(),
        DiskBenchCommand.Create(),
    };
}
