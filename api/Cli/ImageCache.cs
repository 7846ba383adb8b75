using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2.Writing;

namespace Registry.Api.Cli;

/// <summary>Disks of images that this host has brought once, as bases that instances' overlays name.</summary>
/// <remarks>
/// <code>
///   IMAGE-DIGEST.raw           a base: has this name only when it is whole, and is never changed
///   IMAGE-DIGEST.raw.overlays  paths of the overlays made on it, one a line
///   IMAGE-DIGEST.raw.lock      locked by the process that makes, uses or evicts the base; its time is the last use
///   .IMAGE-DIGEST.raw.part     a base being made; an interrupted run is gone on with
/// </code>
/// Processes agree by locks of the kernel, which end with their process. A base stays as long as one of its overlays
/// exists where it was made: an overlay that is moved away must take its base into account by itself.
/// </remarks>
internal sealed class ImageCache(string directory)
{
    private const string Suffix = ".raw";
    private const int LockIsHeld = 11; // EWOULDBLOCK
    private static readonly TimeSpan LockPause = TimeSpan.FromMilliseconds(20);

    /// <summary>A base in the cache.</summary>
    /// <param name="Path">Where it is.</param>
    /// <param name="Bytes">Bytes it takes on the disk.</param>
    /// <param name="Overlays">Overlays that exist.</param>
    /// <param name="UsedAt">When it was last used.</param>
    public sealed record Base(string Path, long Bytes, int Overlays, DateTimeOffset UsedAt);

    /// <summary>Sees to it that an image's base is there, and does something with it that must not meet its eviction.
    /// </summary>
    /// <param name="imageId">The image.</param>
    /// <param name="digest">The digest of its bytes, in hexadecimal.</param>
    /// <param name="make">Makes the base under the path given; called by one process at a time, if at all.</param>
    /// <param name="use">Uses it.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task UseAsync(
        string imageId, string digest, Func<string, Task> make, Func<string, Task> use,
        CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(directory);
        var path = Path.GetFullPath(
            Path.Combine(directory, $"{imageId}-{ProvisionMark.Shorten(digest)}{Suffix}"));
        await using var held = await LockAsync(path, cancellationToken);
        File.SetLastWriteTimeUtc(held.Name, TimeProvider.System.GetUtcNow().UtcDateTime);
        if (!File.Exists(path))
        {
            await make(path);
        }

        await use(path);
    }

    /// <summary>Makes an overlay on a base, in a moment.</summary>
    /// <param name="basePath">The base, held.</param>
    /// <param name="path">The overlay; replaced when it is whole.</param>
    /// <param name="size">Bytes of the disk; null for the base's.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Bytes of the disk.</returns>
    /// <exception cref="CommandException">The disk would be smaller than the image's.</exception>
    public static async Task<long> OverlayAsync(
        string basePath, string path, long? size, CancellationToken cancellationToken)
    {
        var full = TargetFile.Resolve(path);
        if (TargetFile.IsDevice(full))
        {
            throw new CommandException("a thin disk is a file; a block device takes the whole disk.");
        }

        var smallest = new FileInfo(basePath).Length;
        if (size < smallest)
        {
            throw new CommandException(
                $"The disk wanted ({size} bytes) is smaller than the image's ({smallest} bytes). (size_too_small)");
        }

        await File.AppendAllLinesAsync(basePath + ".overlays", [full], cancellationToken);
        var partial = Path.Combine(
            Path.GetDirectoryName(full)!, $".{Path.GetFileName(full)}.{Environment.ProcessId}.part");
        var options = new QcowCreateOptions
        {
            Size = size ?? smallest,
            BackingName = basePath,
            BackingFormat = "raw",
        };
        await NewDisk.CreateQcowAsync(
            partial, options, DiskOpenOptions.Local(partial), Preallocation.Off, cancellationToken);
        File.Move(partial, full, overwrite: true);
        return options.Size;
    }

    /// <summary>The bases, last used first.</summary>
    public async Task<IReadOnlyList<Base>> ListAsync()
    {
        var found = new List<Base>();
        foreach (var path in Directory.Exists(directory) ? Directory.GetFiles(directory, $"*{Suffix}") : [])
        {
            if (!Path.GetFileName(path).StartsWith('.'))
            {
                found.Add(await DescribeAsync(path));
            }
        }

        return [.. found.OrderByDescending(one => one.UsedAt)];
    }

    /// <summary>Removes the bases used longest ago until the others take no more than that, and none that an overlay
    /// needs or that a process is at.</summary>
    /// <param name="most">Bytes on the disk, 0 or more.</param>
    /// <returns>What was removed.</returns>
    public async Task<IReadOnlyList<Base>> PruneAsync(long most)
    {
        var all = await ListAsync();
        var removed = new List<Base>();
        var left = all.Sum(one => one.Bytes);
        foreach (var one in Enumerable.Reverse(all))
        {
            if (left <= most)
            {
                break;
            }

            await using var held = TryLock(one.Path);
            if (held is null || (await DescribeAsync(one.Path)).Overlays > 0)
            {
                continue;
            }

            File.Delete(one.Path);
            File.Delete(one.Path + ".overlays");
            left -= one.Bytes;
            removed.Add(one);
        }

        return removed;
    }

    private static async Task<Base> DescribeAsync(string path)
    {
        var overlays = path + ".overlays";
        var held = new FileInfo(path + ".lock");
        await using var file = FileBytes.OpenRead(path);
        return new Base(
            path,
            file.AllocatedBytes(),
            File.Exists(overlays) ? File.ReadLines(overlays).Distinct().Count(File.Exists) : 0,
            held.Exists ? held.LastWriteTimeUtc : File.GetLastWriteTimeUtc(path));
    }

    private static async Task<FileStream> LockAsync(string path, CancellationToken cancellationToken)
    {
        while (true)
        {
            if (TryLock(path) is { } held)
            {
                return held;
            }

            await Task.Delay(LockPause, cancellationToken);
        }
    }

    private static FileStream? TryLock(string path)
    {
        try
        {
            return new FileStream(path + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException taken) when (taken.HResult == LockIsHeld)
        {
            return null;
        }
    }
}
