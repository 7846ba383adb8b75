using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Qcow2.Writing;

namespace Registry.Api.Cli;

/// <summary>Makes the file of a new disk, for whatever verb needs one.</summary>
internal static class NewDisk
{
    /// <summary>What <c>-o</c> knows besides the shape.</summary>
    public const string Help = "backing_file=NAME, backing_fmt=FORMAT, data_file=NAME, data_file_raw=on|off, "
        + "encrypt.format=luks (with encrypt.cipher-alg, .cipher-mode, .ivgen-alg, .ivgen-hash-alg, .hash-alg, "
        + ".iterations)";

    /// <summary>Takes everything that describes a qcow2 image out of options; refuses the rest.</summary>
    /// <param name="options">Names and values.</param>
    public static QcowCreateOptions Take(Dictionary<string, string> options)
    {
        options.Remove("backing_file", out var backing);
        options.Remove("backing_fmt", out var backingFormat);
        options.Remove("data_file", out var dataFile);
        options.Remove("size", out var size);
        var isRaw = options.Remove("data_file_raw", out var flag) && OptionText.Flag(flag);
        var result = new QcowCreateOptions
        {
            Size = size is null ? -1 : Sizes.Parse(size),
            Shape = DiskShape.Take(options),
            Luks = DiskShape.TakeLuks(options),
            BackingName = backing,
            BackingFormat = backingFormat,
            DataFileName = dataFile,
            IsDataFileRaw = isRaw,
        };
        DiskShape.RefuseOthers(options);
        return result;
    }

    /// <summary>Makes a raw disk of zeroes; nothing is left of it where that fails.</summary>
    /// <param name="path">The file or block device.</param>
    /// <param name="size">Bytes, rounded up to whole sectors.</param>
    /// <param name="preallocation">What of it exists already.</param>
    /// <param name="rules">What may be done to a file that exists.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public static async Task CreateRawAsync(
        string path, long size, Preallocation preallocation, TargetRules rules, CancellationToken cancellationToken)
    {
        if (preallocation == Preallocation.Metadata)
        {
            throw new CommandException("Unsupported preallocation mode 'metadata'");
        }

        var length = checked(size + 511) & ~511L;
        await using var target = await TargetFile.OpenAsync(path, rules, cancellationToken);
        await target.Bytes.SetLengthAsync(length, cancellationToken);
        if (target.IsNew)
        {
            await target.Bytes.PreallocateAsync(preallocation, length, cancellationToken);
        }
        else
        {
            await target.Bytes.ZeroAsync(0, length, cancellationToken);
        }

        target.Publish(isDurable: false);
    }

    /// <summary>Makes a qcow2 image and its external data file; nothing is left of them where that fails.</summary>
    /// <param name="path">The file or block device.</param>
    /// <param name="options">What it shall be.</param>
    /// <param name="open">How what it names is opened.</param>
    /// <param name="preallocation">What of it exists already.</param>
    /// <param name="rules">What may be done to files that exist.</param>
    /// <param name="fill">Writes its content before it has its name; null for an empty disk.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public static async Task CreateQcowAsync(
        string path, QcowCreateOptions options, DiskOpenOptions open, Preallocation preallocation, TargetRules rules,
        Func<QcowDisk, Task>? fill, CancellationToken cancellationToken)
    {
        options.Validate();
        RefuseItself(path, options.BackingName, "backing");
        RefuseItself(path, options.DataFileName, "data");
        await using var target = await TargetFile.OpenAsync(path, rules, cancellationToken);
        await using var data = options.DataFileName is { } name
            ? await TargetFile.OpenAsync(LocalFilesGate.PathOf(path, name), rules, cancellationToken)
            : null;
        if (data is not null)
        {
            open = open with { Gate = new NewDataFileGate(open.Gate, data.Bytes) };
        }

        if (!target.IsNew)
        {
            // A device has no room beyond its end, and must not be begun in vain.
            var least = DiskMeasure.Qcow(options.Size, new MeasureOptions(options.Shape) { Preallocation = preallocation });
            await target.Bytes.SetLengthAsync(least.Required, cancellationToken);
        }

        if (preallocation is Preallocation.FAlloc or Preallocation.Full)
        {
            // All of the space, or none of it, before tables are made for it.
            (data ?? target).Bytes.ReserveAtEnd(data is null ? RoomFor(options.Shape, options.Size) : options.Size);
        }

        await using (var disk = await QcowDisk.CreateAsync(target.Bytes, options, open, cancellationToken))
        {
            await PreallocateAsync(target.Bytes, disk, 0, preallocation, cancellationToken);
            if (fill is not null)
            {
                await fill(disk);
            }
        }

        data?.Publish(isDurable: false);
        target.Publish(isDurable: false);
    }

    // The new image would be read as its own content.
    private static void RefuseItself(string path, string? name, string role)
    {
        if (name is not null && DiskFile.AreSame(LocalFilesGate.FullName(path, name), path))
        {
            throw new CommandException($"'{path}' has the same filename as its {role} file.");
        }
    }

    /// <summary>Bytes of a qcow2 file all of whose clusters exist.</summary>
    /// <param name="shape">Its shape.</param>
    /// <param name="size">Bytes of the disk.</param>
    public static long RoomFor(QcowShape shape, long size) =>
        DiskMeasure.Qcow(size, new MeasureOptions(shape)).FullyAllocated;

    /// <summary>Reserves space for a disk from a byte on.</summary>
    /// <param name="file">The image's file.</param>
    /// <param name="disk">The image.</param>
    /// <param name="start">First guest byte.</param>
    /// <param name="preallocation">What shall exist.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public static async Task PreallocateAsync(
        FileBytes file, QcowDisk disk, long start, Preallocation preallocation, CancellationToken cancellationToken)
    {
        if (preallocation == Preallocation.Off || start >= disk.VirtualSize)
        {
            return;
        }

        await disk.PreallocateAsync(start, disk.VirtualSize - start, cancellationToken);
        if (preallocation == Preallocation.FAlloc)
        {
            await file.PreallocateAsync(preallocation, file.Length, cancellationToken);
        }
        else if (preallocation == Preallocation.Full)
        {
            var zeroes = new byte[1 << 20];
            for (var offset = start; offset < disk.VirtualSize; offset += zeroes.Length)
            {
                var piece = zeroes.AsMemory(0, (int)Math.Min(zeroes.Length, disk.VirtualSize - offset));
                await disk.WriteAsync(offset, piece, cancellationToken);
            }
        }

        file.ReleaseAtEnd();
    }
}

/// <summary>Opens the data file of an image that is being made, which has no name yet, and else what another gate
/// opens.</summary>
/// <param name="gate">Decides on everything else.</param>
/// <param name="data">The data file.</param>
internal sealed class NewDataFileGate(IOpenGate gate, FileBytes data) : IOpenGate
{
    /// <inheritdoc/>
    public ValueTask<OpenedReference> OpenAsync(
        ReferenceKind kind, string name, DiskFormat? format, CancellationToken cancellationToken) =>
        kind == ReferenceKind.DataFile
            ? new(new OpenedReference(data, DiskFormat.Raw, data.Path, data.Identity(), DenyGate.Instance))
            : gate.OpenAsync(kind, name, format, cancellationToken);
}
