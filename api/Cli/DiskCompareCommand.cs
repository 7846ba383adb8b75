using System.CommandLine;
using Registry.Engine.Convert;
using Registry.Engine.Disks;

namespace Registry.Api.Cli;

/// <summary>registry disk compare.</summary>
internal static class DiskCompareCommand
{
    private const int Different = 1;
    private const int Failed = 2;

    private const long SectorBytes = 512;

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var first = new Argument<string>("FILE1") { Description = "One image file" };
        var second = new Argument<string>("FILE2") { Description = "The other" };
        var firstFormat = DiskFile.FormatOption("-f", "Format of FILE1 [found out]");
        var secondFormat = DiskFile.FormatOption("-F", "Format of FILE2 [found out]");
        var strict = new Option<bool>("-s") { Description = "Strict: sizes and what is allocated must be the same too" };
        var cache = DiskFile.CacheOption("-T", "the files");
        var progress = new Option<bool>("-p") { Description = "Show progress" };
        var quiet = new Option<bool>("-q") { Description = "Show nothing but errors" };
        var passphrase = DiskFile.PassphraseOption();
        var share = DiskFile.ShareOption();
        var command = new Command("compare", """
            Compare what two disks hold, whatever their formats. Exit code 0: identical, 1: different, 2: an error.
            """) { first, second, firstFormat, secondFormat, strict, cache, progress, quiet, passphrase,
                share };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            try
            {
                await using var a = await DiskFile.OpenAsync(
                    parsed.GetValue(first)!, parsed.GetValue(firstFormat), parsed.GetValue(passphrase),
                    parsed.GetValue(share), cancellationToken);
                await using var b = await DiskFile.OpenAsync(
                    parsed.GetValue(second)!, parsed.GetValue(secondFormat), parsed.GetValue(passphrase),
                    parsed.GetValue(share), cancellationToken);
                return await RunAsync(
                    a.Image,
                    b.Image,
                    parsed.GetValue(strict),
                    parsed.GetValue(quiet),
                    parsed.GetValue(progress),
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

    private static async Task<int> RunAsync(
        DiskImage a, DiskImage b, bool isStrict, bool isQuiet, bool hasProgress, CancellationToken cancellationToken)
    {
        if (isStrict && a.VirtualSize != b.VirtualSize)
        {
            Say("Strict mode: Image size mismatch!");
            return Different;
        }

        using var shown = DiskProgress.Begin(
            hasProgress && !isQuiet, "compare", Math.Max(a.VirtualSize, b.VirtualSize));
        var found = await DiskCompare.CompareAsync(a, b, shown, cancellationToken);
        var status = isStrict ? await DiskCompare.FirstStatusDifferenceAsync(a, b, cancellationToken) : -1;
        shown?.Complete();
        var offset = found.Offset & -SectorBytes;
        if (status >= 0 && (found.IsIdentical || status <= offset))
        {
            Say($"Strict mode: Offset {status} block status mismatch!");
            return Different;
        }

        // A difference in what both have is told before their sizes are.
        if (found.SizesDiffer && (found.IsIdentical || offset >= Math.Min(a.VirtualSize, b.VirtualSize)))
        {
            Say("Warning: Image size mismatch!");
        }

        Say(found.IsIdentical ? "Images are identical." : $"Content mismatch at offset {offset}!");
        return found.IsIdentical ? 0 : Different;

        void Say(string sentence)
        {
            if (!isQuiet)
            {
                Console.WriteLine(sentence);
            }
        }
    }
}
