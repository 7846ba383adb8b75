using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Storage.Domain;

namespace Registry.Api.Provisioning;

/// <summary>A disk in a target directory. It has its name only when it is whole; until then it is called after the job
/// that makes it, and the attempt: a worker that lost the job and does not know it yet is in nobody's way.</summary>
/// <param name="directory">The target.</param>
/// <param name="name">The file's name there.</param>
/// <param name="job">The job.</param>
/// <param name="attempt">Which attempt at it, from 1.</param>
internal sealed class TargetDisk(string directory, string name, Guid job, int attempt)
{
    private readonly string _path = Path.Combine(directory, name);
    private readonly string _partial = Path.Combine(directory, $".{name}.{job}.{attempt}.part");

    /// <summary>Makes it.</summary>
    /// <param name="stored">The image.</param>
    /// <param name="order">Format and size.</param>
    /// <param name="read">How the image is read.</param>
    /// <param name="progress">Hears guest bytes done, and how many there are.</param>
    /// <param name="cancellationToken">Cancels; the unfinished file is removed.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="RegistryException">Conflict: there is a file of that name.</exception>
    /// <exception cref="IOException">The store or the target failed.</exception>
    public async Task<long> MakeAsync(
        StoredDisk stored, ProvisionOrder order, DiskReadOptions read, Action<long, long> progress,
        CancellationToken cancellationToken)
    {
        Remove(); // what a worker that was killed left
        if (Path.Exists(_path))
        {
            return attempt > 1 && await IsMineAsync(stored, order, cancellationToken)
                ? 0
                : throw new RegistryException(
                    ErrorCode.Conflict, $"There is a file '{name}' in the target already.", "target_exists");
        }

        var written = await Converter.ConvertAsync(
            stored.Disk, _partial, Format(order),
            new ConvertOptions
            {
                Size = stored.SizeFor(order.Size),
                RefuseExisting = true, // others may write to the target directory: no link of theirs is followed
                Read = read,
                Progress = new Told(progress),
            },
            cancellationToken);
        UnfinishedTarget.Publish(_partial, _path);
        return written;
    }

    /// <summary>Removes what all attempts left unfinished.</summary>
    public void Remove()
    {
        foreach (var unfinished in Directory.EnumerateFiles(directory, $".{name}.{job}.*.part"))
        {
            File.Delete(unfinished);
        }
    }

    // A worker that went away after the last step: the file is what it was to be.
    private async Task<bool> IsMineAsync(StoredDisk stored, ProvisionOrder order, CancellationToken cancellationToken)
    {
        try
        {
            await using var file = await DiskImages.OpenAsync(
                FileBytes.OpenRead(_path), Format(order), DiskOpenOptions.Strict, cancellationToken);
            return file.VirtualSize == stored.SizeFor(order.Size)
                && (await DiskCompare.CompareAsync(file, stored.Disk, cancellationToken)).IsIdentical;
        }
        catch (ImageFormatException)
        {
            return false;
        }
    }

    private static DiskFormat Format(ProvisionOrder order) =>
        order.Format == "qcow2" ? DiskFormat.Qcow2 : DiskFormat.Raw;

    private sealed class Told(Action<long, long> progress) : IProgress<ConvertProgress>
    {
        public void Report(ConvertProgress value) => progress(value.BytesDone, value.BytesTotal);
    }
}
