using Registry.Engine.Bytes;
using Registry.Engine.Disks;
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

    /// <summary>Makes a raw disk.</summary>
    public static async Task CreateRawAsync(
        string path, long size, Preallocation preallocation, CancellationToken cancellationToken)
    {
        if (preallocation == Preallocation.Metadata)
        {
            throw new CommandException("Unsupported preallocation mode 'metadata'");
        }

        await MakeAsync(path, async file =>
        {
            var length = checked(size + 511) & ~511L;
            await file.SetLengthAsync(length, cancellationToken);
            if (!file.IsBlockDevice)
            {
                await file.PreallocateAsync(preallocation, length, cancellationToken);
            }
        });
    }

    /// <summary>Makes a qcow2 image and its external data file; what this made is removed again where that
    /// fails.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">What it shall be.</param>
    /// <param name="open">How what it names is opened.</param>
    /// <param name="preallocation">What of it exists already.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public static async Task CreateQcowAsync(
        string path, QcowCreateOptions options, DiskOpenOptions open, Preallocation preallocation,
        CancellationToken cancellationToken)
    {
        options.Validate();
        RefuseItself(path, options.BackingName, "backing");
        RefuseItself(path, options.DataFileName, "data");
        if (options.DataFileName is { } dataFile)
        {
            await using var data = FileBytes.Create(LocalFilesGate.FullName(path, dataFile));
        }

        await MakeAsync(path, async file =>
        {
            await using var disk = await QcowDisk.CreateAsync(file, options, open, cancellationToken);
            await PreallocateAsync(file, disk, 0, preallocation, cancellationToken);
        });
    }

    // Making a file empties one that is there, which would be the image's own content.
    private static void RefuseItself(string path, string? name, string role)
    {
        if (name is not null && LocalFilesGate.FullName(path, name) is { } full
            && TargetFile.Resolve(full) == TargetFile.Resolve(path))
        {
            throw new CommandException($"'{path}' has the same filename as its {role} file.");
        }
    }

    // Removes nothing but what this call has made: a file or device that was there stays where it is.
    private static async Task MakeAsync(string path, Func<FileBytes, Task> fill)
    {
        var isNew = FileKinds.Of(path) == FileKind.Missing;
        var isDone = false;
        try
        {
            await using var file = FileBytes.Create(path);
            await fill(file);
            isDone = true;
        }
        finally
        {
            if (!isDone && isNew)
            {
                File.Delete(path);
            }
        }
    }

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
    }
}
