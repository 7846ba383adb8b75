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

    /// <summary>Whether the target exists.</summary>
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
        if (sources.FirstOrDefault(source => Path.GetFullPath(source) == Path.GetFullPath(target)) is { } same)
        {
            throw new CommandException($"'{same}' cannot be converted onto itself.");
        }

        var disks = new List<DiskFile>();
        try
        {
            foreach (var source in sources)
            {
                var opening = DiskFile.Options(source, PassphraseFile) with { Snapshot = Snapshot };
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
        using (var progress = DiskProgress.Begin(IsProgressShown, "convert", sum))
        {
            await WriteAsync(parts, size, progress, cancellationToken);
            progress?.Complete();
        }

        if (bitmaps.Count > 0)
        {
            await using var edit = await DiskEdit.OpenAsync(target, "qcow2", PassphraseFile, cancellationToken);
            await DiskBitmaps.AddAsync(edit.Qcow, bitmaps, cancellationToken);
        }
    }

    private async Task WriteAsync(
        List<DiskPart> parts, long size, DiskProgress? progress, CancellationToken cancellationToken)
    {
        var options = new Dictionary<string, string>(Options);
        var preallocation = DiskShape.TakePreallocation(options);
        var wanted = IsQcow ? NewDisk.Take(options) with { Size = size } : new QcowCreateOptions { Size = size };
        DiskShape.RefuseOthers(options);
        var isPlain = wanted is { BackingName: null, DataFileName: null, Luks: null };
        if (!IsQcow || (isPlain && !IntoExisting))
        {
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
            await Converter.ConvertAsync(
                parts, target, IsQcow ? DiskFormat.Qcow2 : DiskFormat.Raw, convert, cancellationToken);
            return;
        }

        if (!IntoExisting)
        {
            await NewDisk.CreateQcowAsync(
                target, wanted, DiskEdit.Options(target, PassphraseFile), preallocation, cancellationToken);
        }

        await using var edit = await DiskEdit.OpenAsync(target, "qcow2", PassphraseFile, cancellationToken);
        var overwrite = new OverwriteOptions
        {
            TargetIsZero = TargetIsZero || (!IntoExisting && wanted.BackingName is null),
            OwnDepths = wanted.BackingName is null ? null : 1,
            Compress = IsCompressed,
            SparseBytes = SparseBytes,
            BytesPerSecond = BytesPerSecond,
            Progress = progress,
        };
        await DiskOverwrite.RunAsync(parts, edit.Disk, overwrite, cancellationToken);
    }

    /// <summary>A snapshot is as large as the active disk, as in qemu-img, but never loses its end.</summary>
    private static long SizeOf(DiskImage disk) =>
        disk is QcowImage { Snapshot: not null } image
            ? Math.Max(image.VirtualSize, image.Header.VirtualSize)
            : disk.VirtualSize;
}
