using System.CommandLine;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2.Writing;

namespace Registry.Api.Cli;

/// <summary>registry disk create.</summary>
internal sealed class DiskCreateCommand
{
    private readonly Argument<string> _file = new("FILE") { Description = "The file to make, or a block device to write" };
    private readonly Argument<string?> _size = new("SIZE")
    {
        Description = "Virtual size [the backing file's]",
        Arity = ArgumentArity.ZeroOrOne,
    };
    private readonly Option<string?> _format = DiskFile.TargetFormatOption("-f", "Format of FILE [raw]");
    private readonly Option<string?> _backing = new("-b") { Description = "Backing file, beside FILE unless absolute" };
    private readonly Option<string?> _backingFormat = DiskFile.TargetFormatOption("-F", "Format of the backing file");
    private readonly Option<bool> _unchecked = new("-u") { Description = "Do not open the backing file" };
    private readonly Option<string[]> _options = new("-o")
    {
        Description = "Comma-separated: " + DiskShape.Help + ", " + NewDisk.Help,
    };
    private readonly Option<string?> _passphrase = DiskFile.PassphraseOption();
    private readonly Option<bool> _quiet = new("-q") { Description = "Show nothing but errors" };

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var self = new DiskCreateCommand();
        var command = new Command("create", """
            Make an empty disk image.
              registry disk create -f qcow2 disk.qcow2 10G
              registry disk create -f qcow2 -b base.qcow2 -F qcow2 overlay.qcow2
              registry disk create -f qcow2 -o encrypt.format=luks --passphrase-file key disk.qcow2 10G
            """)
        {
            self._file, self._size, self._format, self._backing, self._backingFormat, self._unchecked, self._options,
            self._passphrase, self._quiet,
        };
        TargetRules.AddTo(command);
        command.SetAction(self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var path = parsed.GetValue(_file)!;
        var options = OptionText.Parse(parsed.GetValue(_options) ?? []);
        var given = new Dictionary<string, string>(options);
        var preallocation = DiskShape.TakePreallocation(options);
        if (parsed.GetValue(_format) != "qcow2")
        {
            if (parsed.GetValue(_backing) is not null)
            {
                throw new CommandException("Backing file not supported for file format 'raw'");
            }

            options.Remove("size", out var text);
            DiskShape.RefuseOthers(options);
            var size = SizeOf(parsed, text is null ? -1 : Sizes.Parse(text));
            await NewDisk.CreateRawAsync(path, size, preallocation, TargetRules.Of(parsed), cancellationToken);
            var reserved = given.TryGetValue("preallocation", out var name) ? " preallocation=" + name : "";
            return Done(parsed, $"Formatting '{path}', fmt=raw size={size}{reserved}");
        }

        var wanted = await ReadAsync(parsed, path, options, cancellationToken);
        var open = DiskEdit.Options(path, parsed.GetValue(_passphrase)) with
        {
            // Nothing of the backing file is read but its size, as in qemu-img: another process may write to it.
            Gate = new LocalFilesGate(path) { MayWriteData = true, IsShared = true },
            MetadataOnly = parsed.GetValue(_unchecked) && wanted.DataFileName is null && wanted.Luks is null,
        };
        if (open.MetadataOnly && preallocation != Preallocation.Off)
        {
            throw new CommandException("-u and preallocation exclude each other.");
        }

        await NewDisk.CreateQcowAsync(
            path, wanted, open, preallocation, TargetRules.Of(parsed), fill: null, cancellationToken);
        return Done(parsed, $"Formatting '{path}', {DiskShape.Describe(wanted, given)}");
    }

    private int Done(ParseResult parsed, string sentence)
    {
        if (!parsed.GetValue(_quiet))
        {
            Console.WriteLine(sentence);
        }

        return 0;
    }

    private long SizeOf(ParseResult parsed, long otherwise) => parsed.GetValue(_size) is { } text
        ? Sizes.Parse(text)
        : otherwise >= 0 ? otherwise : throw new CommandException("Image creation needs a size parameter");

    private async Task<QcowCreateOptions> ReadAsync(
        ParseResult parsed, string path, Dictionary<string, string> options, CancellationToken cancellationToken)
    {
        var taken = NewDisk.Take(options);
        var backing = parsed.GetValue(_backing) ?? taken.BackingName;
        var format = parsed.GetValue(_backingFormat) ?? taken.BackingFormat;
        if (backing is not null && format is null)
        {
            throw new CommandException("Backing file specified without backing format");
        }

        var size = taken.Size;
        if (backing is not null && !parsed.GetValue(_unchecked))
        {
            // It must be there, even where its size is not asked for.
            await using var disk = await DiskFile.OpenAsync(
                LocalFilesGate.FullName(path, backing), format, parsed.GetValue(_passphrase), isShared: true,
                cancellationToken);
            size = size >= 0 ? size : disk.Image.VirtualSize;
        }

        return taken with { BackingName = backing, BackingFormat = format, Size = SizeOf(parsed, size) };
    }
}
