using System.CommandLine;
using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Api.Cli;

/// <summary>registry disk convert.</summary>
internal sealed class DiskConvertCommand
{
    private const int MostParallel = 16;

    // Accepted for scripts that were written for qemu-img: everything goes through the page cache, and is written in
    // whatever order is fastest.
    private static readonly string[] CacheModes = ["none", "writeback", "unsafe", "directsync", "writethrough"];

    private readonly Argument<string> _source = new("FILE") { Description = "The image file to read" };
    private readonly Argument<string> _target = new("TARGET") { Description = "The file or block device to write" };
    private readonly Option<string?> _sourceFormat = DiskFile.FormatOption("-f", "Format of FILE [found out]");
    private readonly Option<string?> _targetFormat = DiskFile.TargetFormatOption("-O", "Format of TARGET [raw]");
    private readonly Option<string[]> _shape = new("-o")
    {
        Description = "Shape of the target, comma-separated: " + DiskShape.Help,
    };
    private readonly Option<bool> _compress = new("-c") { Description = "Compress the clusters of a qcow2 target" };
    private readonly Option<string?> _size = new("--size")
    {
        Description = "Virtual size of the target, at least FILE's",
    };
    private readonly Option<string?> _sparse = new("-S")
    {
        Description = "Runs of zeroes at least this long are not written [4k]; 0 to write everything",
    };
    private readonly Option<int?> _parallel = new("-m") { Description = "Pieces handled at the same time, 1 to 16" };
    private readonly Option<bool> _anyOrder = new("-W") { Description = "Accepted: the order is always the fastest" };
    private readonly Option<bool> _existing = new("-n") { Description = "Write into an existing TARGET (raw)" };
    private readonly Option<bool> _isZero = new("--target-is-zero")
    {
        Description = "With -n: TARGET is known to read as zeroes",
    };
    private readonly Option<string?> _snapshot = new("-l")
    {
        Description = "Read an internal snapshot: its id or name, or snapshot.id=ID,snapshot.name=NAME",
    };
    private readonly Option<string?> _passphrase = DiskFile.PassphraseOption();
    private readonly Option<bool> _share = DiskFile.ShareOption();
    private readonly Option<string?> _targetCache = new("-t") { Description = "Accepted: cache mode of TARGET" };
    private readonly Option<string?> _sourceCache = new("-T") { Description = "Accepted: cache mode of FILE" };
    private readonly Option<bool> _progress = new("-p") { Description = "Show progress" };
    private readonly Option<bool> _quiet = new("-q") { Description = "Show nothing but errors" };

    private DiskConvertCommand()
    {
        _targetCache.AcceptOnlyFromAmong(CacheModes);
        _sourceCache.AcceptOnlyFromAmong(CacheModes);
    }

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var self = new DiskConvertCommand();
        var command = new Command("convert", """
            Convert a disk to another format. Zeroes are not written; the target is sparse.
              registry disk convert -O qcow2 -c -o compression_type=zstd disk.raw disk.qcow2
              registry disk convert -O raw disk.qcow2 disk.raw
            """)
        {
            self._source, self._target, self._sourceFormat, self._targetFormat, self._shape, self._compress, self._size,
            self._sparse, self._parallel, self._anyOrder, self._existing, self._isZero, self._targetCache,
            self._sourceCache, self._snapshot, self._passphrase, self._share, self._progress, self._quiet,
        };
        command.SetAction(self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var (from, to) = (parsed.GetValue(_source)!, parsed.GetValue(_target)!);
        if (Path.GetFullPath(from) == Path.GetFullPath(to))
        {
            throw new CommandException($"'{from}' cannot be converted onto itself.");
        }

        var isShown = parsed.GetValue(_progress) && !parsed.GetValue(_quiet);
        var opening = DiskFile.Options(from, parsed.GetValue(_passphrase)) with
        {
            Snapshot = parsed.GetValue(_snapshot),
        };
        await using var disk = await DiskFile.OpenAsync(
            from, parsed.GetValue(_sourceFormat), opening, cancellationToken);
        using var bar = isShown ? new ProgressBar("convert", disk.Image.VirtualSize) : null;
        var options = Options(parsed) with { Progress = bar is null ? null : new BarProgress(bar) };
        options = options with { Size = options.Size ?? SizeOf(disk.Image) };
        if (options.Size < disk.Image.VirtualSize)
        {
            throw new CommandException(
                $"'{from}' holds {disk.Image.VirtualSize} bytes; the target must not be smaller.");
        }

        await Converter.ConvertAsync(
            disk.Image, to, parsed.GetValue(_targetFormat) == "qcow2" ? DiskFormat.Qcow2 : DiskFormat.Raw, options,
            cancellationToken);
        return 0;
    }

    /// <summary>A snapshot is as large as the active disk, as in qemu-img, but never loses its end.</summary>
    private static long SizeOf(DiskImage disk) =>
        disk is QcowImage { Snapshot: not null } image
            ? Math.Max(image.VirtualSize, image.Header.VirtualSize)
            : disk.VirtualSize;

    private ConvertOptions Options(ParseResult parsed)
    {
        var size = parsed.GetValue(_size);
        var sparse = Sizes.Parse(parsed.GetValue(_sparse) ?? "4k");
        var parallel = parsed.GetValue(_parallel);
        if (parallel is < 1 or > MostParallel)
        {
            throw new CommandException($"-m takes 1 to {MostParallel}.");
        }

        var options = new ConvertOptions
        {
            IsDurable = false, // as qemu-img convert: a copy that can be made again
            Size = size is null ? null : Sizes.Parse(size),
            Compress = parsed.GetValue(_compress),
            SparseBytes = sparse is >= 0 and <= 1 << 30 ? (int)sparse : -1,
            Read = DiskReadOptions.Local with { Parallelism = parallel ?? DiskReadOptions.Local.Parallelism },
            IntoExisting = parsed.GetValue(_existing),
            TargetIsZero = parsed.GetValue(_isZero),
        };
        var shape = OptionText.Parse(parsed.GetValue(_shape) ?? []);
        options = options with
        {
            Preallocation = DiskShape.TakePreallocation(shape),
            Qcow = DiskShape.Take(shape),
        };
        DiskShape.RefuseOthers(shape);
        return options;
    }

    private sealed class BarProgress(ProgressBar bar) : IProgress<ConvertProgress>
    {
        public void Report(ConvertProgress value) => bar.Set(value.BytesDone, value.BytesTotal);
    }
}
