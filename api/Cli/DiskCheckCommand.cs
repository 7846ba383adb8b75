using System.CommandLine;
using System.Globalization;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Engine.Qcow2.Checking;

namespace Registry.Api.Cli;

/// <summary>registry disk check: keys, texts and exit codes are those of qemu-img check.</summary>
internal static class DiskCheckCommand
{
    private const int Failed = 1;
    private const int Corrupt = 2;
    private const int Leaking = 3;
    private const int NotSupported = 63;

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "The image file" };
        var format = DiskFile.FormatOption("-f", "Its format [found out]");
        var repair = new Option<string?>("-r", "--repair") { Description = "Repair what is found: leaks or all" };
        repair.AcceptOnlyFromAmong("leaks", "all");
        var cache = new Option<string?>("-T") { Description = "Cache mode of qemu-img; ignored" };
        var quiet = new Option<bool>("-q", "--quiet") { Description = "Print nothing but errors" };
        var share = DiskFile.ShareOption();
        var command = new Command("check", """
            Check the metadata of a qcow2 image. Exit code 0: clean, 1: could not be checked, 2: corrupt, 3: leaked clusters
            only, 63: the format has no check.
            """) { file, format, repair, cache, quiet, share };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            try
            {
                return await RunAsync(
                    parsed.GetValue(file)!,
                    parsed.GetValue(format),
                    parsed.GetValue(repair),
                    Form(output.IsJson(parsed), parsed.GetValue(quiet)),
                    parsed.GetValue(share),
                    cancellationToken);
            }
            catch (Exception e) when (RegistryCommand.Sentence(e) is { } sentence)
            {
                await Console.Error.WriteLineAsync("registry: " + Terminal.Printable(sentence));
                return Failed;
            }
        });
        return command;
    }

    private enum Output
    {
        Nothing,
        Human,
        Json,
    }

    private static Output Form(bool isJson, bool isQuiet) =>
        isQuiet ? Output.Nothing : isJson ? Output.Json : Output.Human;

    private static async Task<int> RunAsync(
        string path, string? format, string? repair, Output output, bool isShared, CancellationToken cancellationToken)
    {
        if (repair is not null && isShared)
        {
            throw new CommandException("-r and -U exclude each other: an image that another process writes to is not repaired");
        }

        await using var bytes = repair is null ? FileBytes.OpenRead(path) : FileBytes.OpenWrite(path);
        bytes.Claim(repair is not null ? ImageUse.Write : isShared ? ImageUse.Shared : ImageUse.Read);
        var kind = DiskFile.FormatOf(format) ?? await DiskImages.DetectAsync(bytes, cancellationToken);
        if (kind != DiskFormat.Qcow2)
        {
            await Console.Error.WriteLineAsync("registry: This image format does not support checks");
            return NotSupported;
        }

        var report = repair is null
            ? await QcowCheck.CheckAsync(bytes, cancellationToken)
            : await QcowRepair.RepairAsync(
                bytes, repair == "all" ? QcowRepairMode.All : QcowRepairMode.Leaks, cancellationToken);
        switch (output)
        {
            case Output.Json:
                WriteJson(report, path);
                break;
            case Output.Human:
                WriteHuman(report);
                break;
        }

        if (report.CheckErrors > 0)
        {
            await Console.Error.WriteLineAsync("registry: Check failed");
            return Failed;
        }

        return report.Corruptions > 0 ? Corrupt : report.Leaks > 0 ? Leaking : 0;
    }

    private static void WriteJson(QcowCheckReport report, string path) => OutputOption.WriteJson(json =>
    {
        json.WriteStartObject();
        WriteUnlessZero("image-end-offset", report.ImageEndOffset);
        WriteUnlessZero("compressed-clusters", report.CompressedClusters);
        WriteUnlessZero("total-clusters", report.TotalClusters);
        WriteUnlessZero("corruptions", report.Corruptions);
        WriteUnlessZero("corruptions-fixed", report.CorruptionsFixed);
        json.WriteNumber("check-errors", report.CheckErrors);
        WriteUnlessZero("leaks", report.Leaks);
        WriteUnlessZero("leaks-fixed", report.LeaksFixed);
        WriteUnlessZero("allocated-clusters", report.AllocatedClusters);
        json.WriteString("filename", path);
        json.WriteString("format", FormatNames.Of(DiskFormat.Qcow2));
        WriteUnlessZero("fragmented-clusters", report.FragmentedClusters);
        json.WriteEndObject();

        void WriteUnlessZero(string key, long value)
        {
            if (value != 0)
            {
                json.WriteNumber(key, value);
            }
        }
    });

    private static void WriteHuman(QcowCheckReport report)
    {
        if (report.CorruptionsFixed > 0 || report.LeaksFixed > 0)
        {
            Console.Write(
                "The following inconsistencies were found and repaired:\n\n" +
                $"    {report.LeaksFixed} leaked clusters\n    {report.CorruptionsFixed} corruptions\n\n" +
                "Double checking the fixed image now...\n");
        }

        if (report.IsClean)
        {
            Console.Write("No errors were found on the image.\n");
        }

        if (report.Corruptions > 0)
        {
            Console.Write(
                $"\n{report.Corruptions} errors were found on the image.\n" +
                "Data may be corrupted, or further writes to the image may corrupt it.\n");
        }

        if (report.Leaks > 0)
        {
            Console.Write(
                $"\n{report.Leaks} leaked clusters were found on the image.\n" +
                "This means waste of disk space, but no harm to data.\n");
        }

        if (report.CheckErrors > 0)
        {
            Console.Write($"\n{report.CheckErrors} internal errors have occurred during the check.\n");
        }

        if (report is { TotalClusters: > 0, AllocatedClusters: > 0 })
        {
            var allocated = (double)report.AllocatedClusters;
            Console.Write(string.Create(
                CultureInfo.InvariantCulture,
                $"{report.AllocatedClusters}/{report.TotalClusters} = " +
                $"{allocated * 100 / report.TotalClusters:F2}% allocated, " +
                $"{report.FragmentedClusters * 100 / allocated:F2}% fragmented, " +
                $"{report.CompressedClusters * 100 / allocated:F2}% compressed clusters\n"));
        }

        if (report.ImageEndOffset > 0)
        {
            Console.Write($"Image end offset: {report.ImageEndOffset}\n");
        }
    }
}
