using System.CommandLine;
using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;

namespace Registry.Api.Cli;

/// <summary>registry disk measure.</summary>
internal sealed class DiskMeasureCommand
{
    private readonly Argument<string?> _file = new("FILE")
    {
        Description = "The image file that is to be converted",
        Arity = ArgumentArity.ZeroOrOne,
    };
    private readonly Option<string?> _sourceFormat = DiskFile.FormatOption("-f", "Format of FILE [found out]");
    private readonly Option<string?> _targetFormat = DiskFile.TargetFormatOption("-O", "Format of the new file [raw]");
    private readonly Option<string[]> _shape = new("-o")
    {
        Description = "Shape of the new file, comma-separated: " + DiskShape.Help,
    };
    private readonly Option<long?> _size = new("--size")
    {
        Description = "Virtual size of a new, empty disk, instead of FILE",
        CustomParser = Sizes.ParseOption,
    };
    private readonly Option<string?> _snapshot = new("-l")
    {
        Description = "Measure an internal snapshot: its id or name, or snapshot.id=ID,snapshot.name=NAME",
    };
    private readonly Option<string?> _passphrase = DiskFile.PassphraseOption();
    private readonly Option<bool> _share = DiskFile.ShareOption();
    private OutputOption? _output;

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var self = new DiskMeasureCommand();
        var command = new Command("measure", """
            Tell how large a file a conversion will need, before it is done: for what the disk holds, and when all of it
            is written.
              registry disk measure -O qcow2 disk.raw
              registry disk measure -O qcow2 -o cluster_size=2M --size 1T
            """)
        {
            self._file, self._sourceFormat, self._targetFormat, self._shape, self._size, self._snapshot,
            self._passphrase, self._share,
        };
        self._output = new OutputOption(command);
        command.SetAction(self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var shape = OptionText.Parse(parsed.GetValue(_shape) ?? []);
        var isQcow = parsed.GetValue(_targetFormat) == "qcow2";
        var options = isQcow ? Options(shape) : null;
        if (!isQcow)
        {
            DiskShape.TakePreallocation(shape);
            shape.Remove("size");
        }

        DiskShape.RefuseOthers(shape);
        var measured = await MeasureAsync(parsed, options, cancellationToken);
        if (_output!.IsJson(parsed))
        {
            OutputOption.WriteJson(json =>
            {
                json.WriteStartObject();
                if (measured.Bitmaps is { } bytes)
                {
                    json.WriteNumber("bitmaps", bytes);
                }

                json.WriteNumber("required", measured.Required);
                json.WriteNumber("fully-allocated", measured.FullyAllocated);
                json.WriteEndObject();
            });
            return 0;
        }

        Console.WriteLine($"required size: {measured.Required}");
        Console.WriteLine($"fully allocated size: {measured.FullyAllocated}");
        Console.Write(measured.Bitmaps is { } bitmaps ? $"bitmaps size: {bitmaps}\n" : "");
        return 0;
    }

    private async Task<DiskMeasurement> MeasureAsync(
        ParseResult parsed, MeasureOptions? options, CancellationToken cancellationToken)
    {
        var file = parsed.GetValue(_file);
        if (parsed.GetValue(_size) is { } size)
        {
            return file is null
                ? options is null ? DiskMeasure.Raw(size) : DiskMeasure.Qcow(size, options)
                : throw new CommandException("--size N cannot be used together with a filename");
        }

        if (file is null)
        {
            throw new CommandException("Either --size N or one filename must be specified");
        }

        var opening = DiskFile.Options(file, parsed.GetValue(_passphrase), parsed.GetValue(_share)) with
        {
            Snapshot = parsed.GetValue(_snapshot),
        };
        await using var disk = await DiskFile.OpenAsync(
            file, parsed.GetValue(_sourceFormat), opening, cancellationToken);
        return options is null
            ? DiskMeasure.Raw(disk.Image.VirtualSize)
            : await DiskMeasure.QcowAsync(disk.Image, options, cancellationToken);
    }

    private static MeasureOptions Options(Dictionary<string, string> shape)
    {
        var luks = DiskShape.TakeLuks(shape);
        var hasBacking = shape.Remove("backing_file");
        shape.Remove("backing_fmt");
        shape.Remove("size");
        var preallocation = DiskShape.TakePreallocation(shape);
        return new MeasureOptions(DiskShape.Take(shape))
        {
            HasBacking = hasBacking,
            Preallocation = preallocation,
            LuksHeaderBytes = luks?.HeaderBytes ?? 0,
        };
    }
}
