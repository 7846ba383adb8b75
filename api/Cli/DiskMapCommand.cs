using System.CommandLine;
using System.Globalization;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Api.Cli;

/// <summary>registry disk map.</summary>
internal static class DiskMapCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "The image file" };
        var format = DiskFile.FormatOption("-f", "Its format [found out]");
        var start = new Option<long?>("-s", "--start-offset")
        {
            Description = "First byte of the disk to look at [0]",
            CustomParser = Sizes.ParseOption,
        };
        var length = new Option<long?>("-l", "--max-length")
        {
            Description = "Most bytes to look at [to the end]",
            CustomParser = Sizes.ParseOption,
        };
        var passphrase = DiskFile.PassphraseOption();
        var share = DiskFile.ShareOption();
        var command = new Command("map", "List which parts of a disk are allocated, and where they are stored.")
        {
            file, format, start, length, passphrase, share,
        };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var path = parsed.GetValue(file)!;
            await using var disk = await DiskFile.OpenAsync(
                path, parsed.GetValue(format), parsed.GetValue(passphrase), parsed.GetValue(share), cancellationToken);
            var from = parsed.GetValue(start) ?? 0;
            var rest = disk.Image.VirtualSize - Math.Min(from, disk.Image.VirtualSize);
            var size = Math.Min(parsed.GetValue(length) ?? long.MaxValue, rest);
            var runs = disk.Image.StatusAsync(disk.Image.VirtualSize - rest, size, cancellationToken);
            await (output.IsJson(parsed) ? WriteJsonAsync(runs, from) : WriteHumanAsync(runs, disk.Image, path));
            return 0;
        });
        return command;
    }

    private static async Task WriteJsonAsync(IAsyncEnumerable<BlockStatus> runs, long start)
    {
        var separator = "[";
        await foreach (var run in runs)
        {
            Console.Write(separator);
            WriteJson(run);
            separator = ",\n";
        }

        if (separator == "[")
        {
            // qemu-img shows an empty disk as one run of no bytes.
            Console.Write(separator);
            WriteJson(new BlockStatus(start, 0, 0, IsPresent: false, IsZero: false, IsData: false, Offset: -1));
        }

        Console.WriteLine("]");
    }

    private static void WriteJson(BlockStatus run) => Console.Write(
        $"{{ \"start\": {run.Start}, \"length\": {run.Length}, \"depth\": {run.Depth}, " +
        $"\"present\": {Word(run.IsPresent)}, \"zero\": {Word(run.IsZero)}, \"data\": {Word(run.IsData)}" +
        $"{(run.Offset < 0 ? "" : $", \"offset\": {run.Offset}")}}}");

    private static async Task WriteHumanAsync(IAsyncEnumerable<BlockStatus> runs, DiskImage disk, string path)
    {
        var files = Files(disk, path);
        Console.WriteLine($"{"Offset",-16}{"Length",-16}{"Mapped to",-16}File");
        await foreach (var run in runs)
        {
            if (!run.IsData)
            {
                continue;
            }

            if (run.Offset < 0)
            {
                throw new CommandException("File contains external, encrypted or compressed clusters.");
            }

            if (!run.IsZero)
            {
                Terminal.WriteLine($"{Hex(run.Start),-16}{Hex(run.Length),-16}{Hex(run.Offset),-16}{files[run.Depth]}");
            }
        }
    }

    /// <summary>The files that the images of a chain keep their data in.</summary>
    private static List<string> Files(DiskImage disk, string path)
    {
        var files = new List<string>();
        var file = path;
        for (var image = disk; image is not null && file is not null;)
        {
            var qcow = image as QcowImage;
            files.Add(qcow?.DataFilePath ?? file);
            (image, file) = (qcow?.Backing, qcow?.BackingPath);
        }

        return files;
    }

    private static string Hex(long value) =>
        value == 0 ? "0" : "0x" + value.ToString("x", CultureInfo.InvariantCulture);

    private static string Word(bool value) => value ? "true" : "false";
}
