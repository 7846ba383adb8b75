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

        await using var file = FileBytes.Create(path);
        await file.SetLengthAsync(checked(size + 511) & ~511L, cancellationToken);
        await file.PreallocateAsync(preallocation, file.Length, cancellationToken);
    }

    /// <summary>Makes a qcow2 image and its external data file; removes the image again where that fails.</summary>
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
        if (options.DataFileName is { } dataFile)
        {
            await using var data = FileBytes.Create(LocalFilesGate.FullName(path, dataFile));
        }

        var isDone = false;
        try
        {
            await using var file = FileBytes.Create(path);
            await using var disk = await QcowDisk.CreateAsync(file, options, open, cancellationToken);
            await PreallocateAsync(file, disk, 0, preallocation, cancellationToken);
            isDone = true;
        }
        finally
        {
            if (!isDone)
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
