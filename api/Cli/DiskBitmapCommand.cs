using System.CommandLine;
using System.CommandLine.Parsing;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Api.Cli;

/// <summary>registry disk bitmap.</summary>
internal sealed class DiskBitmapCommand
{
    private readonly Argument<string> _file = new("FILE") { Description = "A qcow2 image" };
    private readonly Argument<string> _name = new("BITMAP") { Description = "Name of the bitmap" };
    private readonly Option<string?> _format = DiskFile.FormatOption("-f", "Format of FILE [found out]");
    private readonly Option<bool> _add = new("--add") { Description = "Make it, with no bit set" };
    private readonly Option<bool> _remove = new("--remove") { Description = "Remove it" };
    private readonly Option<bool> _clear = new("--clear") { Description = "Clear all its bits" };
    private readonly Option<bool> _enable = new("--enable") { Description = "Let writes set its bits" };
    private readonly Option<bool> _disable = new("--disable") { Description = "Do not let writes set its bits" };
    private readonly Option<string[]> _merge = new("--merge") { Description = "Set all bits that another bitmap has" };
    private readonly Option<string?> _source = new("-b") { Description = "Take the bitmap to merge from this image" };
    private readonly Option<string?> _sourceFormat = DiskFile.FormatOption("-F", "Format of that image");
    private readonly Option<string?> _passphrase = DiskFile.PassphraseOption();
    private readonly Option<string?> _granularity = new("-g") { Description = "With --add: bytes of a bit" };

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var self = new DiskBitmapCommand();
        var command = new Command("bitmap", """
            Change the persistent bitmaps of an image. Several actions are done in the order given, or none of them.
              registry disk bitmap --add -g 64k disk.qcow2 backup1
              registry disk bitmap --add --merge backup0 --disable disk.qcow2 backup1
            """)
        {
            self._file, self._name, self._format, self._add, self._remove, self._clear, self._enable, self._disable,
            self._merge, self._source, self._sourceFormat, self._granularity, self._passphrase,
        };
        command.SetAction(self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var (path, name) = (parsed.GetValue(_file)!, parsed.GetValue(_name)!);
        var merges = new Queue<string>(parsed.GetValue(_merge) ?? []);
        var actions = parsed.Tokens
            .Where(token => token.Type == TokenType.Option)
            .Select(token => token.Value)
            .Where(text => text is "--add" or "--remove" or "--clear" or "--enable" or "--disable" or "--merge")
            .ToList();
        if (actions.Count == 0)
        {
            throw new CommandException(
                "Need at least one of --add, --remove, --clear, --enable, --disable, or --merge");
        }

        var source = parsed.GetValue(_source);
        Require(
            parsed.GetValue(_granularity) is null || actions.Contains("--add"), "granularity only supported with --add");
        Require(
            source is null || actions.Contains("--merge"), "Merge bitmap source file only supported with --merge");
        Require(parsed.GetValue(_sourceFormat) is null || source is not null, "-F only supported with -b");
        await using var edit = await DiskEdit.OpenUndoableAsync(
            path, parsed.GetValue(_format), parsed.GetValue(_passphrase), cancellationToken);
        await edit.ChangeAsync(async () =>
        {
            foreach (var action in actions)
            {
                await (action switch
                {
                    "--add" => edit.Qcow.AddBitmapAsync(
                        name, Granularity(parsed), !actions.Contains("--disable"), cancellationToken),
                    "--remove" => edit.Qcow.RemoveBitmapAsync(name, cancellationToken),
                    "--clear" => edit.Qcow.ClearBitmapAsync(name, cancellationToken),
                    "--merge" => MergeAsync(parsed, edit, name, merges.Dequeue(), cancellationToken),
                    _ => edit.Qcow.EnableBitmapAsync(name, action == "--enable", cancellationToken),
                });
            }
        });
        return 0;
    }

    private static void Require(bool condition, string sentence)
    {
        if (!condition)
        {
            throw new CommandException(sentence);
        }
    }

    private int? Granularity(ParseResult parsed)
    {
        if (parsed.GetValue(_granularity) is not { } text)
        {
            return null;
        }

        return Sizes.Parse(text) is var size and >= 512 and <= 1 << 30 && long.IsPow2(size)
            ? (int)size
            : throw new CommandException("Invalid granularity: a power of two from 512 to 1G is needed.");
    }

    private async ValueTask MergeAsync(
        ParseResult parsed, DiskEdit edit, string target, string source, CancellationToken cancellationToken)
    {
        // What the image itself holds has been stored by the actions before.
        var other = parsed.GetValue(_source);
        await using var opened = other is null ? null : FileBytes.OpenRead(other);
        if (opened is not null && opened.Identity() != edit.Bytes.Identity())
        {
            opened.Claim(ImageUse.Read);
        }

        var options = DiskOpenOptions.Local(other ?? edit.Bytes.Path) with { MetadataOnly = true };
        await using var image = await QcowImage.OpenAsync(opened ?? edit.Bytes, options, cancellationToken);
        var bitmap = (await image.ReadBitmapsAsync(cancellationToken)).FirstOrDefault(other => other.Name == source)
            ?? throw new CommandException($"Dirty bitmap '{source}' not found");
        var ranges = await bitmap.RangesAsync(image, cancellationToken).ToListAsync(cancellationToken);
        await edit.Qcow.MergeBitmapAsync(target, ranges, cancellationToken);
    }
}
