using System.CommandLine;

namespace Registry.Api.Cli;

/// <summary>registry disk: verbs on local image files, with qemu-img's flags, output and exit codes.</summary>
internal static class DiskCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create() => new(
        "disk",
        "Make, look at, check, convert and change local image files, with the verbs, flags and output of qemu-img.")
    {
        DiskCreateCommand.Create(),
        DiskInfoCommand.Create(),
        DiskMapCommand.Create(),
        DiskConvertCommand.Create(),
        DiskCompareCommand.Create(),
        DiskResizeCommand.Create(),
        DiskRebaseCommand.Create(),
        DiskCommitCommand.Create(),
        DiskAmendCommand.Create(),
        DiskBitmapCommand.Create(),
        DiskCheckCommand.Create(),
        DiskSnapshotCommand.Create(),
    };
}
