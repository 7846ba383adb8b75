using System.CommandLine;
using Registry.Engine.Convert;

namespace Registry.Api.Cli;

/// <summary>registry disk compare.</summary>
internal static class DiskCompareCommand
{
    private const int Different = 1;
    private const int Failed = 2;

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var first = new Argument<string>("FILE1") { Description = "One image file" };
        var second = new Argument<string>("FILE2") { Description = "The other" };
        var firstFormat = DiskFile.FormatOption("-f", "Format of FILE1 [found out]");
        var secondFormat = DiskFile.FormatOption("-F", "Format of FILE2 [found out]");
        var strict = new Option<bool>("-s") { Description = "Strict: sizes must be the same too" };
        var passphrase = DiskFile.PassphraseOption();
        var share = DiskFile.ShareOption();
        var command = new Command("compare", """
            Compare what two disks hold, whatever their formats. Exit code 0: identical, 1: different, 2: an error.
            """) { first, second, firstFormat, secondFormat, strict, passphrase, share };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            try
            {
                await using var a = await DiskFile.OpenAsync(
                    parsed.GetValue(first)!, parsed.GetValue(firstFormat), parsed.GetValue(passphrase),
                    cancellationToken);
                await using var b = await DiskFile.OpenAsync(
                    parsed.GetValue(second)!, parsed.GetValue(secondFormat), parsed.GetValue(passphrase),
                    cancellationToken);
                return Print(
                    await DiskCompare.CompareAsync(a.Image, b.Image, cancellationToken), parsed.GetValue(strict));
            }
            catch (Exception e) when (RegistryCommand.Sentence(e) is { } sentence)
            {
                await Console.Error.WriteLineAsync("registry: " + sentence);
                return Failed;
            }
        });
        return command;
    }

    private static int Print(DiskComparison comparison, bool isStrict)
    {
        if (comparison.SizesDiffer && isStrict)
        {
            Console.WriteLine("Strict mode: Image size mismatch!");
            return Different;
        }

        if (comparison.SizesDiffer)
        {
            Console.WriteLine("Warning: Image size mismatch!");
        }

        Console.WriteLine(comparison.IsIdentical
            ? "Images are identical."
            : $"Content mismatch at offset {comparison.Offset}!");
        return comparison.IsIdentical ? 0 : Different;
    }
}
