using System.CommandLine;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2.Writing;

namespace Registry.Api.Cli;

/// <summary>registry disk create.</summary>
internal sealed class DiskCreateCommand
{
    private readonly Argument<string> _file = new("FILE") { Description = "The file to make; an old one is lost" };
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
        Description = "Comma-separated: " + DiskShape.Help + ", backing_file=NAME, backing_fmt=FORMAT, data_file=NAME, "
            + "data_file_raw=on|off, encrypt.format=luks (with encrypt.cipher-alg, .cipher-mode, .ivgen-alg, "
            + ".ivgen-hash-alg, .hash-alg, .iterations)",
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
        command.SetAction(self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var path = parsed.GetValue(_file)!;
        var options = OptionText.Parse(parsed.GetValue(_options) ?? []);
        var preallocation = DiskShape.TakePreallocation(options);
        if (parsed.GetValue(_format) != "qcow2")
        {
            DiskShape.RefuseOthers(options);
            await CreateRawAsync(path, SizeOf(parsed), preallocation, cancellationToken);
            return Done(parsed, $"Formatting '{path}', fmt=raw size={SizeOf(parsed)}");
        }

        var wanted = await ReadAsync(parsed, path, options, cancellationToken);
        var open = DiskEdit.Options(path, parsed.GetValue(_passphrase)) with
        {
            MetadataOnly = parsed.GetValue(_unchecked) && wanted.DataFileName is null && wanted.Luks is null,
        };
        if (open.MetadataOnly && preallocation != Preallocation.Off)
        {
            throw new CommandException("-u and preallocation exclude each other.");
        }

        var isDone = false;
        try
        {
            await CreateQcowAsync(path, wanted, open, preallocation, cancellationToken);
            isDone = true;
        }
        finally
        {
            if (!isDone)
            {
                File.Delete(path);
            }
        }

        return Done(parsed, $"Formatting '{path}', {DiskShape.Describe(wanted)}");
    }

    private int Done(ParseResult parsed, string sentence)
    {
        if (!parsed.GetValue(_quiet))
        {
            Console.WriteLine(sentence);
        }

        return 0;
    }

    private long SizeOf(ParseResult parsed) => parsed.GetValue(_size) is { } text
        ? Sizes.Parse(text)
        : throw new CommandException("Image creation needs a size parameter");

    private async Task<QcowCreateOptions> ReadAsync(
        ParseResult parsed, string path, Dictionary<string, string> options, CancellationToken cancellationToken)
    {
        options.Remove("backing_file", out var backing);
        options.Remove("backing_fmt", out var backingFormat);
        options.Remove("data_file", out var dataFile);
        var isRaw = options.Remove("data_file_raw", out var flag) && OptionText.Flag(flag);
        backing = parsed.GetValue(_backing) ?? backing;
        backingFormat = parsed.GetValue(_backingFormat) ?? backingFormat;
        if (backing is not null && backingFormat is null)
        {
            throw new CommandException("Backing file specified without backing format");
        }

        var shape = DiskShape.Take(options);
        var luks = DiskShape.TakeLuks(options);
        DiskShape.RefuseOthers(options);
        return new QcowCreateOptions
        {
            Size = parsed.GetValue(_size) is null && backing is not null && !parsed.GetValue(_unchecked)
                ? await BackingSizeAsync(parsed, path, backing, backingFormat!, cancellationToken)
                : SizeOf(parsed),
            Shape = shape,
            Luks = luks,
            BackingName = backing,
            BackingFormat = backingFormat,
            DataFileName = dataFile,
            IsDataFileRaw = isRaw,
        };
    }

    private async Task<long> BackingSizeAsync(
        ParseResult parsed, string path, string name, string format, CancellationToken cancellationToken)
    {
        await using var backing = await DiskFile.OpenAsync(
            LocalFilesGate.FullName(path, name), format, parsed.GetValue(_passphrase), cancellationToken);
        return backing.Image.VirtualSize;
    }

    private static async Task CreateRawAsync(
        string path, long size, Preallocation preallocation, CancellationToken cancellationToken)
    {
        if (preallocation == Preallocation.Metadata)
        {
            throw new CommandException("Unsupported preallocation mode 'metadata'");
        }

        await using var file = FileBytes.Create(path);
        await file.SetLengthAsync(checked(size + 511) & ~511L, cancellationToken);
        await file.PreallocateAsync(preallocation, file.Length, cancellationToken);
    }

    private static async Task CreateQcowAsync(
        string path, QcowCreateOptions options, DiskOpenOptions open, Preallocation preallocation,
        CancellationToken cancellationToken)
    {
        options.Validate();
        if (options.DataFileName is { } dataFile)
        {
            await using var data = FileBytes.Create(LocalFilesGate.FullName(path, dataFile));
        }

        await using var file = FileBytes.Create(path);
        await using var disk = await QcowDisk.CreateAsync(file, options, open, cancellationToken);
        if (preallocation == Preallocation.Off)
        {
            return;
        }

        await disk.PreallocateAsync(0, disk.VirtualSize, cancellationToken);
        if (preallocation == Preallocation.FAlloc)
        {
            await file.PreallocateAsync(preallocation, file.Length, cancellationToken);
        }
        else if (preallocation == Preallocation.Full)
        {
            await WriteZeroesAsync(disk, cancellationToken);
        }
    }

    private static async Task WriteZeroesAsync(QcowDisk disk, CancellationToken cancellationToken)
    {
        var zeroes = new byte[1 << 20];
        for (var offset = 0L; offset < disk.VirtualSize; offset += zeroes.Length)
        {
            var piece = zeroes.AsMemory(0, (int)Math.Min(zeroes.Length, disk.VirtualSize - offset));
            await disk.WriteAsync(offset, piece, cancellationToken);
        }
    }
}
