using System.CommandLine;
using Registry.Engine.Convert;

namespace Registry.Api.Cli;

/// <summary>registry disk convert: its options, and what of them contradicts.</summary>
internal sealed class DiskConvertCommand
{
    private const int MostParallel = 16;
    private const long MostSparseBytes = 16 << 20;

    private readonly Argument<string[]> _files = new("FILE... TARGET")
    {
        Description = "The image file to read, or several that are concatenated in order; last the file or block device to "
            + "write",
        Arity = ArgumentArity.OneOrMore,
    };
    private readonly Option<string?> _sourceFormat = DiskFile.FormatOption("-f", "Format of FILE [found out]");
    private readonly Option<string?> _targetFormat = DiskFile.TargetFormatOption("-O", "Format of TARGET [raw]");
    private readonly Option<string[]> _options = new("-o")
    {
        Description = "What TARGET shall be, comma-separated: " + DiskShape.Help + ", " + NewDisk.Help,
    };
    private readonly Option<string?> _backing = new("-B")
    {
        Description = "Backing file of TARGET: it holds what FILE's backing file does, so only FILE's own is written",
    };
    private readonly Option<string?> _backingFormat = DiskFile.FormatOption("-F", "Format of the backing file");
    private readonly Option<bool> _compress = new("-c") { Description = "Compress the clusters of a qcow2 target" };
    private readonly Option<string?> _size = new("--size")
    {
        Description = "Virtual size of the target, at least FILE's",
    };
    private readonly Option<string?> _sparse = new("-S")
    {
        Description = "Runs of zeroes at least this long are not written [4k, 64k in what the kernel copies]; 0 to write everything",
    };
    private readonly Option<string?> _parallel = new("-m") { Description = "Pieces handled at the same time, 1 to 16" };
    private readonly Option<bool> _anyOrder = new("-W") { Description = "Accepted: the order is always the fastest" };
    private readonly Option<bool> _offload = new("-C") { Description = "Accepted: the kernel copies where it can" };
    private readonly Option<string?> _rate = new("-r") { Description = "Bytes written in a second at most" };
    private readonly Option<bool> _existing = new("-n") { Description = "Write into an existing TARGET, in place" };
    private readonly Option<bool> _isZero = new("--target-is-zero")
    {
        Description = "With -n: TARGET is known to read as zeroes",
    };
    private readonly Option<bool> _bitmaps = new("--bitmaps") { Description = "Copy persistent bitmaps too" };
    private readonly Option<bool> _skipBroken = new("--skip-broken-bitmaps")
    {
        Description = "With --bitmaps: leave out those that were not closed properly",
    };
    private readonly Option<string?> _snapshot = new("-l")
    {
        Description = "Read an internal snapshot: its id or name, or snapshot.id=ID,snapshot.name=NAME",
    };
    private readonly Option<string?> _passphrase = DiskFile.PassphraseOption();
    private readonly Option<bool> _share = DiskFile.ShareOption();
    private readonly Option<string?> _targetCache = DiskFile.CacheOption("-t", "TARGET");
    private readonly Option<string?> _sourceCache = DiskFile.CacheOption("-T", "FILE");
    private readonly Option<bool> _progress = new("-p") { Description = "Show progress" };
    private readonly Option<bool> _quiet = new("-q") { Description = "Show nothing but errors" };

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var self = new DiskConvertCommand();
        var command = new Command("convert", """
            Convert a disk to another format. Zeroes are not written; the target is sparse. An existing file is replaced
            only with --overwrite.
              registry disk convert -O qcow2 -c -o compression_type=zstd disk.raw disk.qcow2
              registry disk convert -O raw disk.qcow2 disk.raw
              registry disk convert -l before-upgrade -O qcow2 disk.qcow2 then.qcow2
              registry disk convert -O qcow2 -B new-base.qcow2 -F qcow2 overlay.qcow2 new-overlay.qcow2
              registry disk convert -n -O raw disk.qcow2 /dev/vg0/disk
            """)
        {
            self._files, self._sourceFormat, self._targetFormat, self._options, self._backing, self._backingFormat,
            self._compress, self._size, self._sparse, self._parallel, self._anyOrder, self._offload, self._rate,
            self._existing, self._isZero, self._bitmaps, self._skipBroken, self._targetCache, self._sourceCache,
            self._snapshot, self._passphrase, self._share, self._progress, self._quiet,
        };
        TargetRules.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            await self.Read(parsed).RunAsync(cancellationToken);
            return 0;
        });
        return command;
    }

    private DiskConversion Read(ParseResult parsed)
    {
        var files = parsed.GetValue(_files)!;
        Require(files.Length > 1, "Must specify image file name");
        var options = OptionText.Parse(parsed.GetValue(_options) ?? []);
        var isExisting = parsed.GetValue(_existing);
        Require(!isExisting || options.Count == 0, "-o has no effect when skipping image creation");
        Require(!isExisting || !TargetRules.Of(parsed).MayOverwrite, "-n and --overwrite exclude each other");
        Require(isExisting || !parsed.GetValue(_isZero), "--target-is-zero requires use of -n flag");
        var isCompressed = parsed.GetValue(_compress);
        if (parsed.GetValue(_offload))
        {
            Require(!isCompressed, "Cannot enable copy offloading when -c is used");
            Require(parsed.GetValue(_sparse) is null, "Cannot enable copy offloading when -S is used");
        }

        var hasBitmaps = parsed.GetValue(_bitmaps);
        Require(hasBitmaps || !parsed.GetValue(_skipBroken), "Use of --skip-broken-bitmaps requires --bitmaps");
        var isQcow = parsed.GetValue(_targetFormat) == "qcow2";
        Require(isQcow || !hasBitmaps, "Format driver 'raw' does not support bitmaps");
        Require(isQcow || !isCompressed, "Compression not supported for this file format");
        AddBacking(parsed, options, isQcow);
        Require(
            files.Length == 2 || !options.ContainsKey("backing_file"),
            "Having a backing file for the target makes no sense when concatenating multiple input images");
        return new DiskConversion(files[..^1], files[^1])
        {
            SourceFormat = parsed.GetValue(_sourceFormat),
            Snapshot = parsed.GetValue(_snapshot),
            PassphraseFile = parsed.GetValue(_passphrase),
            IsShared = parsed.GetValue(_share),
            IsQcow = isQcow,
            Options = options,
            IsCompressed = isCompressed,
            Size = parsed.GetValue(_size) is { } size ? Sizes.Parse(size) : null,
            SparseBytes = Sparse(parsed.GetValue(_sparse)),
            FindsAllZeroes = parsed.GetValue(_sparse) is not null,
            Parallelism = Parallel(parsed.GetValue(_parallel)),
            BytesPerSecond = parsed.GetValue(_rate) is { } rate ? Rate(rate) : null,
            Rules = TargetRules.Of(parsed),
            IntoExisting = isExisting,
            TargetIsZero = parsed.GetValue(_isZero),
            HasBitmaps = hasBitmaps,
            SkipsBrokenBitmaps = parsed.GetValue(_skipBroken),
            IsProgressShown = parsed.GetValue(_progress) && !parsed.GetValue(_quiet),
        };
    }

    private void AddBacking(ParseResult parsed, Dictionary<string, string> options, bool isQcow)
    {
        if (parsed.GetValue(_backing) is { } backing)
        {
            options["backing_file"] = backing;
        }

        if (parsed.GetValue(_backingFormat) is { } format)
        {
            options["backing_fmt"] = format;
        }

        if (options.ContainsKey("backing_file"))
        {
            Require(isQcow, "Backing file not supported for file format 'raw'");
            Require(options.ContainsKey("backing_fmt"), "Use of backing file requires explicit backing format");
        }
    }

    /// <summary>Runs are looked for in blocks of powers of two; a size between two is served by the smaller.</summary>
    private static int Sparse(string? text)
    {
        var bytes = text is null ? ZeroBlocksDefault : Sizes.Parse(text);
        Require(
            bytes % 512 == 0 && bytes <= MostSparseBytes,
            $"Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 up to {MostSparseBytes}. "
            + "Select 0 to disable sparse detection (fully allocates output).");
        return bytes == 0 ? 0 : 1 << int.Log2((int)bytes);
    }

    private static int Parallel(string? text)
    {
        var count = text is null ? DiskReadOptions.Local.Parallelism : OptionText.Number(text);
        Require(
            count is >= 1 and <= MostParallel,
            $"Invalid number of coroutines. Allowed number of coroutines is between 1 and {MostParallel}");
        return count;
    }

    private static long Rate(string text)
    {
        var rate = Sizes.Parse(text);
        Require(rate > 0, "Invalid rate limit specified.");
        return rate;
    }

    private static long ZeroBlocksDefault => ConvertOptions.Default.SparseBytes;

    private static void Require(bool condition, string sentence)
    {
        if (!condition)
        {
            throw new CommandException(sentence);
        }
    }
}
