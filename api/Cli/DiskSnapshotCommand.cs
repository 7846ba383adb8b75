using System.CommandLine;
using System.Globalization;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Api.Cli;

/// <summary>registry disk snapshot.</summary>
internal static class DiskSnapshotCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "The image file" };
        var list = new Option<bool>("-l") { Description = "List the snapshots [if nothing else is asked]" };
        var create = new Option<string?>("-c") { Description = "Take a snapshot of this name" };
        var apply = new Option<string?>("-a") { Description = "Make the disk what it was at a snapshot" };
        var delete = new Option<string?>("-d") { Description = "Delete a snapshot" };
        var passphrase = DiskFile.PassphraseOption();
        var quiet = new Option<bool>("-q") { Description = "Show nothing but errors" };
        var share = DiskFile.ShareOption();
        var command = new Command("snapshot", """
            List, take, apply or delete internal snapshots of a qcow2 image.
              registry disk snapshot -c before-upgrade disk.qcow2
              registry disk snapshot -l disk.qcow2
              registry disk snapshot -a before-upgrade disk.qcow2
            """) { file, list, create, apply, delete, passphrase, quiet, share };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var path = parsed.GetValue(file)!;
            var (taken, applied, deleted) = (parsed.GetValue(create), parsed.GetValue(apply), parsed.GetValue(delete));
            if (taken is null && applied is null && deleted is null)
            {
                await ListAsync(path, parsed.GetValue(share), cancellationToken);
                return 0;
            }

            if (new[] { taken, applied, deleted }.Count(name => name is not null) > 1 || parsed.GetValue(list))
            {
                throw new CommandException("Cannot mix '-l', '-a', '-c', '-d'");
            }

            await using var edit = await DiskEdit.OpenUndoableAsync(
                path, null, parsed.GetValue(passphrase), cancellationToken);
            if (taken is not null)
            {
                await edit.ChangeAsync(() => edit.Qcow.CreateSnapshotAsync(
                    taken, TimeProvider.System.GetUtcNow(), cancellationToken).AsTask());
                return 0;
            }

            // What only the old state needs is freed, after the new one is on disk.
            edit.Forget();
            if (applied is not null)
            {
                await edit.Qcow.ApplySnapshotAsync(applied, cancellationToken);
            }
            else
            {
                await edit.Qcow.DeleteSnapshotAsync(deleted!, cancellationToken);
            }

            return 0;
        });
        return command;
    }

    private static async Task ListAsync(string path, bool isShared, CancellationToken cancellationToken)
    {
        await using var disk = await DiskFile.OpenAsync(
            path, null, DiskFile.Options(path, null, isShared) with { MetadataOnly = true }, cancellationToken);
        if (disk.Image is QcowImage image)
        {
            Write((await image.ReadSnapshotsAsync(cancellationToken)).Items);
        }
    }

    /// <summary>Prints the list as qemu-img does; nothing where there are none.</summary>
    public static void Write(IReadOnlyList<QcowSnapshot> snapshots)
    {
        if (snapshots.Count == 0)
        {
            return;
        }

        Console.WriteLine("Snapshot list:");
        WriteRow("ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
        foreach (var snapshot in snapshots)
        {
            var clock = snapshot.GuestClockNanoseconds / 1_000_000;
            WriteRow(
                snapshot.Id,
                snapshot.Name,
                Sizes.Show(snapshot.VmStateBytes),
                snapshot.Taken.ToLocalTime().ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture),
                $"{clock / 3_600_000:00}:{clock / 60_000 % 60:00}:{clock / 1000 % 60:00}.{clock % 1000:000}",
                snapshot.InstructionCount?.ToString(CultureInfo.InvariantCulture) ?? "");
        }
    }

    private static void WriteRow(string id, string tag, string size, string date, string clock, string count) =>
        Terminal.WriteLine($"{id,-9} {tag,-16} {size,8}{date,20}{clock,13}{count,11}");
}
