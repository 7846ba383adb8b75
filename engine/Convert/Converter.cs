using Registry.Durability;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Convert;

/// <summary>Converts a disk to a local file or block device, in one pass and without a temporary copy.</summary>
public static class Converter
{
    /// <summary>Converts a disk.</summary>
    /// <param name="image">The source.</param>
    /// <param name="targetPath">A file to make or replace, or a block device.</param>
    /// <param name="format"><see cref="DiskFormat.Raw"/> or <see cref="DiskFormat.Qcow2"/>.</param>
    /// <param name="options">Size, shape, progress.</param>
    /// <param name="cancellationToken">Cancels; a file made here is removed again.</param>
    /// <returns>Content bytes written.</returns>
    /// <exception cref="ImageFormatException">The source is malformed, or the target format cannot be
    /// written.</exception>
    /// <exception cref="IOException">Reading or writing failed; a file made here is removed again.</exception>
    public static ValueTask<long> ConvertAsync(
        DiskImage image,
        string targetPath,
        DiskFormat format,
        ConvertOptions options,
        CancellationToken cancellationToken) =>
        ConvertAsync([DiskPart.Whole(image)], targetPath, format, options, cancellationToken);

    /// <summary>Converts disks, concatenated in order, to one.</summary>
    /// <param name="parts">The sources.</param>
    /// <param name="targetPath">A file to make or replace, or a block device.</param>
    /// <param name="format"><see cref="DiskFormat.Raw"/> or <see cref="DiskFormat.Qcow2"/>.</param>
    /// <param name="options">Size, shape, progress.</param>
    /// <param name="cancellationToken">Cancels; a file made here is removed again.</param>
    /// <returns>Content bytes written.</returns>
    /// <exception cref="ImageFormatException">A source is malformed, or the target format cannot be
    /// written.</exception>
    /// <exception cref="IOException">Reading or writing failed; a file made here is removed again.</exception>
    public static async ValueTask<long> ConvertAsync(
        IReadOnlyList<DiskPart> parts,
        string targetPath,
        DiskFormat format,
        ConvertOptions options,
        CancellationToken cancellationToken)
    {
        Check(parts, format, options);
        var isNew = FileKinds.Of(targetPath) == FileKind.Missing;
        var (target, isFresh) = await OpenTargetAsync(targetPath, options).ConfigureAwait(false);
        var isDone = false;
        try
        {
            await using (target.ConfigureAwait(false))
            {
                var written = await WriteAsync(parts, target, isFresh, format, options, cancellationToken)
                    .ConfigureAwait(false);
                isDone = true;
                return written;
            }
        }
        finally
        {
            if (isFresh)
            {
                Settle(targetPath, isNew, isDone, options.IsDurable);
            }
        }
    }

    /// <summary>Converts disks, concatenated in order, to an open file or block device.</summary>
    /// <param name="parts">The sources.</param>
    /// <param name="target">Where it goes; stays the caller's, also when this fails.</param>
    /// <param name="isEmpty">Whether it is a new, empty file.</param>
    /// <param name="format"><see cref="DiskFormat.Raw"/> or <see cref="DiskFormat.Qcow2"/>.</param>
    /// <param name="options">Size, shape, progress.</param>
    /// <param name="cancellationToken">Cancels; what is in the target is unspecified then.</param>
    /// <returns>Content bytes written.</returns>
    /// <exception cref="ImageFormatException">A source is malformed, or the target format cannot be
    /// written.</exception>
    /// <exception cref="IOException">Reading or writing failed.</exception>
    public static ValueTask<long> ConvertAsync(
        IReadOnlyList<DiskPart> parts,
        FileBytes target,
        bool isEmpty,
        DiskFormat format,
        ConvertOptions options,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(target);
        Check(parts, format, options);
        return WriteAsync(parts, target, isEmpty, format, options, cancellationToken);
    }

    private static void Check(IReadOnlyList<DiskPart> parts, DiskFormat format, ConvertOptions options)
    {
        ArgumentNullException.ThrowIfNull(parts);
        ArgumentNullException.ThrowIfNull(options);
        if (options.Size is { } size)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(size, DiskPart.Sum(parts), nameof(options));
        }

        if (format is not (DiskFormat.Raw or DiskFormat.Qcow2))
        {
            throw new ImageFormatException(FormatError.UnsupportedFeature, $"Format {format} cannot be written.");
        }

        Check(format, options);
    }

    private static void Check(DiskFormat format, ConvertOptions options)
    {
        if (options.SparseBytes != 0 && (options.SparseBytes < 512 || !int.IsPow2(options.SparseBytes)))
        {
            throw new DiskOperationException("Runs of zeroes are counted in powers of two from 512 bytes on.");
        }

        if (format == DiskFormat.Raw && (options.Compress || options.Preallocation == Preallocation.Metadata))
        {
            throw new DiskOperationException("A raw disk can be neither compressed nor have its metadata allocated.");
        }

        if (options.Compress && options.Preallocation != Preallocation.Off)
        {
            throw new DiskOperationException("Compression and preallocation exclude each other.");
        }

        if (options.IntoExisting && format != DiskFormat.Raw)
        {
            throw new DiskOperationException("Only a raw disk can be written into an existing target.");
        }
    }

    private static async ValueTask<(FileBytes Target, bool IsFresh)> OpenTargetAsync(string path, ConvertOptions options)
    {
        if (options.IntoExisting)
        {
            return (await FileBytes.OpenClaimedAsync(path).ConfigureAwait(false), false);
        }

        if (!options.RefuseExisting && FileKinds.Of(path) is FileKind.BlockDevice)
        {
            return (FileBytes.OpenWrite(path), false);
        }

        return (options.RefuseExisting ? FileBytes.CreateNew(path) : FileBytes.Create(path), true);
    }

    /// <summary>Makes a finished file's name last, or removes an unfinished file that was made here.</summary>
    private static void Settle(string path, bool isNew, bool isDone, bool isDurable)
    {
        if (!isDone && isNew)
        {
            File.Delete(path);
        }
        else if (isDone && isDurable)
        {
            DurableFile.FlushDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        }
    }

    private static async ValueTask<long> WriteAsync(
        IReadOnlyList<DiskPart> parts, FileBytes target, bool isFresh, DiskFormat format, ConvertOptions options,
        CancellationToken cancellationToken)
    {
        var size = options.Size ?? DiskPart.Sum(parts);
        var isZero = isFresh || options.TargetIsZero;
        var sink = format == DiskFormat.Raw
            ? await RawAsync(target, size, isZero, options, cancellationToken).ConfigureAwait(false)
            : await QcowAsync(target, (size + 511) & ~511L, isZero, options, cancellationToken)
                .ConfigureAwait(false);

        // Sinks that place clusters as they come, and compression above all, want them front to back.
        var read = sink is RawDiskSink or QcowDiskSink ? options.Read : options.Read with { Order = PieceOrder.Guest };
        var progress = options.Progress is { } listener
            ? new Forward(listener, await StoredAsync(parts, cancellationToken).ConfigureAwait(false))
            : null;
        var pace = new WritePace(options.BytesPerSecond);
        var place = 0L;
        foreach (var part in parts)
        {
            var moved = new ShiftedSink(sink, place - part.Start, pace);
            var range = read with { Start = part.Start, Length = part.Length };
            await DiskReader.CopyAsync(part.Image, moved, range, progress, cancellationToken).ConfigureAwait(false);
            place += part.Length;
            progress?.EndPart();
        }

        await sink.CompleteAsync(cancellationToken).ConfigureAwait(false);
        return sink.BytesWritten;
    }

    private static async ValueTask<IDiskSink> RawAsync(
        FileBytes target, long size, bool isZero, ConvertOptions options, CancellationToken cancellationToken)
    {
        if (options.IntoExisting && target.Length < size)
        {
            throw new IOException($"The target holds {target.Length} bytes; {size} are needed.");
        }

        var preallocation = options.SparseBytes == 0 ? Preallocation.Full : options.Preallocation;
        await target.PreallocateAsync(preallocation, size, cancellationToken).ConfigureAwait(false);
        return new RawDiskSink(target, size, isZero)
        {
            IsDurable = options.IsDurable,
            SparseBytes = options.SparseBytes,
            FindsAllZeroes = options.FindsAllZeroes,
            KeepsLength = options.IntoExisting,
        };
    }

    private static async ValueTask<IDiskSink> QcowAsync(
        FileBytes target, long size, bool isZero, ConvertOptions options, CancellationToken cancellationToken)
    {
        if (options.Compress)
        {
            return new QcowCompressSink(target, size, options.Qcow, options.Read.Parallelism)
            {
                IsDurable = options.IsDurable,
            };
        }

        var preallocation = options.SparseBytes == 0 ? Preallocation.Full : options.Preallocation;
        if (preallocation == Preallocation.Off)
        {
            return new QcowAppendSink(target, size, options.Qcow)
            {
                IsDurable = options.IsDurable,
                SparseBytes = options.SparseBytes,
                FindsAllZeroes = options.FindsAllZeroes,
                TargetIsZero = isZero,
            };
        }

        var layout = QcowLayout.Full(size, options.Qcow);
        if (!isZero)
        {
            await target.ZeroAsync(0, layout.Length, cancellationToken).ConfigureAwait(false);
        }

        await target.PreallocateAsync(preallocation, layout.Length, cancellationToken).ConfigureAwait(false);
        return new QcowDiskSink(target, layout)
        {
            IsDurable = options.IsDurable,
            SparseBytes = options.SparseBytes,
        };
    }

    /// <summary>Guest bytes that are stored.</summary>
    private static async ValueTask<long> StoredAsync(
        IReadOnlyList<DiskPart> parts, CancellationToken cancellationToken)
    {
        var stored = 0L;
        foreach (var part in parts)
        {
            await foreach (var extent in part.Image.MapAsync(part.Start, part.Length, cancellationToken)
                .ConfigureAwait(false))
            {
                stored += extent.IsStored ? extent.Length : 0;
            }
        }

        return stored;
    }

    private sealed class Forward(IProgress<ConvertProgress> listener, long total) : IProgress<long>
    {
        private long before;
        private long last;

        public void Report(long value)
        {
            last = before + value;
            listener.Report(new ConvertProgress(last, total));
        }

        /// <summary>What comes next counts from nothing again.</summary>
        public void EndPart() => before = last;
    }
}
