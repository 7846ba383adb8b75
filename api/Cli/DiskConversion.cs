using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Qcow2.Writing;

namespace Registry.Api.Cli;

/// <summary>One conversion of local disks, as it was asked for.</summary>
/// <param name="sources">The image files, in order.</param>
/// <param name="target">The file or device.</param>
internal sealed class DiskConversion(IReadOnlyList<string> sources, string target)
{
    /// <summary>Format of the sources; null to find out.</summary>
    public string? SourceFormat { get; init; }

    /// <summary>The snapshot that is read; null for the active disk.</summary>
    public string? Snapshot { get; init; }

    /// <summary>File with the passphrase of encrypted disks; null for none.</summary>
    public string? PassphraseFile { get; init; }

    /// <summary>Whether other processes may write to the sources meanwhile.</summary>
    public bool IsShared { get; init; }

    /// <summary>Whether the target is qcow2 (otherwise raw).</summary>
    public bool IsQcow { get; init; }

    /// <summary>What <c>-o</c> asks for.</summary>
    public Dictionary<string, string> Options { get; init; } = [];

    /// <summary>Whether clusters are compressed.</summary>
    public bool IsCompressed { get; init; }

    /// <summary>Bytes of the target; null for what the sources have.</summary>
    public long? Size { get; init; }

    /// <summary>Bytes of the runs of zeroes that are left out, a power of two; 0 for none.</summary>
    public int SparseBytes { get; init; }

    /// <summary>Whether every run of zeroes is found.</summary>
    public bool FindsAllZeroes { get; init; }

    /// <summary>Pieces handled at the same time, 1 or more.</summary>
    public int Parallelism { get; init; } = 1;

    /// <summary>Bytes written in a second at most; null for as many as can be.</summary>
    public long? BytesPerSecond { get; init; }

    /// <summary>What may be done to a file that exists.</summary>
    public TargetRules Rules { get; init; } = TargetRules.NewFile;

    /// <summary>Whether the target exists and is written in place.</summary>
    public bool IntoExisting { get; init; }

    /// <summary>Whether an existing target reads as zeroes.</summary>
    public bool TargetIsZero { get; init; }

    /// <summary>Whether bitmaps are copied.</summary>
    public bool HasBitmaps { get; init; }

    /// <summary>Whether broken bitmaps are left out.</summary>
    public bool SkipsBrokenBitmaps { get; init; }

    /// <summary>Whether progress is shown.</summary>
    public bool IsProgressShown { get; init; }

    /// <summary>Converts.</summary>
    /// <exception cref="CommandException">It cannot be done.</exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        if (sources.FirstOrDefault(source => DiskFile.AreSame(source, target)) is { } same)
        {
            throw new CommandException($"'{same}' cannot be converted onto itself.");
        }

        var disks = new List<DiskFile>();
        try
        {
            foreach (var source in sources)
            {
                var opening = DiskFile.Options(source, PassphraseFile, IsShared) with
                {
                    Gate = new LocalFilesGate(source) { IsShared = IsShared, DeniesWriters = true },
                    Snapshot = Snapshot,
                };
                disks.Add(await DiskFile.OpenAsync(source, SourceFormat, opening, cancellationToken));
            }

            await ConvertAsync(disks.ConvertAll(disk => disk.Image), cancellationToken);
        }
        finally
        {
            foreach (var disk in disks)
            {
                await disk.DisposeAsync();
            }
        }
    }

    private async Task ConvertAsync(List<DiskImage> images, CancellationToken cancellationToken)
    {
        var parts = images.ConvertAll(DiskPart.Whole);
        var sum = DiskPart.Sum(parts);
        var size = Size ?? (images is [var only] ? SizeOf(only) : sum);
        if (size < sum)
        {
            throw new CommandException($"The source holds {sum} bytes; the target must not be smaller.");
        }

        if (HasBitmaps && (images.Count > 1 || images[0] is not QcowImage { Header.Version: >= 3 }))
        {
            throw new CommandException("Format driver of the source does not support bitmaps");
        }

        var bitmaps = HasBitmaps
            ? await DiskBitmaps.ReadAsync((QcowImage)images[0], SkipsBrokenBitmaps, cancellationToken)
            : [];
        using var progress = DiskProgress.Begin(IsProgressShown, "convert", sum);
        await WriteAsync(parts, size, bitmaps, progress, cancellationToken);
        progress?.Complete();
    }

    private async Task WriteAsync(
        List<DiskPart> parts, long size, List<CopiedBitmap> bitmaps, DiskProgress? progress,
        CancellationToken cancellationToken)
    {
        var options = new Dictionary<string, string>(Options);
        var preallocation = DiskShape.TakePreallocation(options);
        var wanted = IsQcow ? NewDisk.Take(options) with { Size = size } : new QcowCreateOptions { Size = size };
        DiskShape.RefuseOthers(options);
        var convert = new ConvertOptions
        {
            IsDurable = false, // as qemu-img convert: a copy that can be made again
            Size = size,
            Compress = IsCompressed,
            SparseBytes = SparseBytes,
            FindsAllZeroes = FindsAllZeroes,
            Read = DiskReadOptions.Local with { Parallelism = Parallelism },
            IntoExisting = IntoExisting,
            TargetIsZero = TargetIsZero,
            Preallocation = preallocation,
            Qcow = wanted.Shape,
            BytesPerSecond = BytesPerSecond,
            Progress = progress,
        };
        if (IntoExisting)
        {
            await WriteIntoAsync(parts, bitmaps, convert, progress, cancellationToken);
        }
        else if (wanted is { BackingName: null, DataFileName: null, Luks: null })
        {
            await WritePlainAsync(parts, bitmaps, convert, cancellationToken);
        }
        else
        {
            await NewDisk.CreateQcowAsync(
                target, wanted, DiskEdit.Options(target, PassphraseFile), preallocation, Rules,
                async disk =>
                {
                    await OverwriteAsync(parts, disk, wanted, progress, cancellationToken);
                    await DiskBitmaps.AddAsync(disk, bitmaps, cancellationToken);
                },
                cancellationToken);
        }
    }

    private async Task WritePlainAsync(
        List<DiskPart> parts, List<CopiedBitmap> bitmaps, ConvertOptions options, CancellationToken cancellationToken)
    {
        await using var file = await TargetFile.OpenAsync(target, Rules, cancellationToken);
        if (!file.IsNew && IsQcow && !IsCompressed)
        {
            await RequireRoomAsync(parts, file.Bytes, options, cancellationToken);
        }

        await Converter.ConvertAsync(
            parts, file.Bytes, file.IsNew, IsQcow ? DiskFormat.Qcow2 : DiskFormat.Raw, options, cancellationToken);
        if (bitmaps.Count > 0)
        {
            await using var disk = await QcowDisk.OpenAsync(
                file.Bytes, DiskEdit.Options(target, PassphraseFile), cancellationToken);
            await DiskBitmaps.AddAsync(disk, bitmaps, cancellationToken);
        }

        file.Publish(isDurable: false);
    }

    // A device that is too small is found before anything is written to it.
    private static async Task RequireRoomAsync(
        List<DiskPart> parts, FileBytes device, ConvertOptions options, CancellationToken cancellationToken)
    {
        var measure = new MeasureOptions(options.Qcow) { Preallocation = options.Preallocation };
        var needed = 0L;
        foreach (var part in parts)
        {
            needed += (await DiskMeasure.QcowAsync(part.Image, measure, cancellationToken)).Required;
        }

        await device.SetLengthAsync(needed, cancellationToken);
    }

    private async Task WriteIntoAsync(
        List<DiskPart> parts, List<CopiedBitmap> bitmaps, ConvertOptions options, DiskProgress? progress,
        CancellationToken cancellationToken)
    {
        if (!IsQcow)
        {
            await Converter.ConvertAsync(parts, target, DiskFormat.Raw, options, cancellationToken);
            return;
        }

        await using var edit = await DiskEdit.OpenAsync(target, "qcow2", PassphraseFile, cancellationToken);
        await OverwriteAsync(parts, edit.Disk, null, progress, cancellationToken);
        if (bitmaps.Count > 0)
        {
            await DiskBitmaps.AddAsync(edit.Qcow, bitmaps, cancellationToken);
        }
    }

    /// <param name="parts">What is written.</param>
    /// <param name="disk">The disk that is written over.</param>
    /// <param name="made">What it was made as; null where it existed.</param>
    /// <param name="progress">Shows how far it is.</param>
    /// <param name="cancellationToken">Cancels.</param>
    private async Task OverwriteAsync(
        List<DiskPart> parts, IDiskWriter disk, QcowCreateOptions? made, DiskProgress? progress,
        CancellationToken cancellationToken)
    {
        var overwrite = new OverwriteOptions
        {
            TargetIsZero = TargetIsZero || made is { BackingName: null },
            OwnDepths = made?.BackingName is null ? null : 1,
            Compress = IsCompressed,
            SparseBytes = SparseBytes,
            BytesPerSecond = BytesPerSecond,
            Progress = progress,
        };
        await DiskOverwrite.RunAsync(parts, disk, overwrite, cancellationToken);
    }

    /// <summary>A snapshot is as large as the active disk, as in qemu-img, but never loses its end.</summary>
    private static long SizeOf(DiskImage disk) =>
        disk is QcowImage { Snapshot: not null } image
            ? Math.Max(image.VirtualSize, image.Header.VirtualSize)
            : disk.VirtualSize;
}
