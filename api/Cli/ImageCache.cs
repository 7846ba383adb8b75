using System.Text;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2.Writing;

namespace Registry.Api.Cli;

/// <summary>Disks of images that this host has fetched once, as bases that instances' overlays name.</summary>
/// <remarks>
/// <code>
///   IMAGE-DIGEST.raw           a base: has this name only when it is whole, and is never changed
///   IMAGE-DIGEST.raw.digests   what it was then (<see cref="BaseRecord"/>)
///   IMAGE-DIGEST.raw.overlays  paths of the overlays made on it, one a line
///   IMAGE-DIGEST.raw.lock      locked by the process that makes, uses or evicts the base; its time is the last use
///   .IMAGE-DIGEST.raw.part     a base being made; an interrupted run is resumed
/// </code>
/// Processes agree by locks of the kernel, which end with their process. A base stays as long as one of its overlays
/// exists where it was made: an overlay that is moved away must take its base into account by itself. All of it belongs
/// to one user, and no other user may write to the directory: what is read from a base is not checked again.
/// </remarks>
internal sealed class ImageCache : IDisposable
{
    private const string Suffix = ".raw";
    private const string OverlaysSuffix = ".overlays";
    private const string LockSuffix = ".lock";
    private const int IsLocked = 11; // EWOULDBLOCK
    private const int IsTaken = 17; // EEXIST
    private static readonly TimeSpan LockPause = TimeSpan.FromMilliseconds(20);

    private readonly HostDirectory _home;

    private ImageCache(HostDirectory home) => _home = home;

    /// <summary>A base in the cache.</summary>
    /// <param name="Path">Where it is.</param>
    /// <param name="Bytes">Bytes it takes on the disk.</param>
    /// <param name="Overlays">Overlays that exist.</param>
    /// <param name="UsedAt">When it was last used.</param>
    public sealed record Base(string Path, long Bytes, int Overlays, DateTimeOffset UsedAt);

    /// <summary>Whether a base is what it was.</summary>
    /// <param name="Path">Where it is.</param>
    /// <param name="DamagedBlocks">Blocks of 1 MiB that are not what they were; null where nothing was recorded.</param>
    /// <param name="Overlays">Overlays that exist.</param>
    public sealed record Checked(string Path, long? DamagedBlocks, int Overlays);

    /// <summary>Opens a cache; makes the directory where there is none.</summary>
    /// <param name="directory">The directory.</param>
    /// <exception cref="CommandException">Other users can write to it.</exception>
    public static ImageCache Open(string directory)
    {
        var home = HostDirectory.OpenOrCreate(directory);
        try
        {
            RequirePrivate(home, directory);
            return new ImageCache(home);
        }
        catch
        {
            home.Dispose();
            throw;
        }
    }

    /// <summary>Refuses a place for an overlay, before a base is fetched for it.</summary>
    /// <exception cref="CommandException">It is a device, or a file that may not be overwritten.</exception>
    public static void RequirePlace(string path, TargetRules rules)
    {
        var (full, kind) = TargetPlace.Resolve(path);
        if (kind == FileKind.BlockDevice)
        {
            throw new CommandException("a thin disk is a file; a block device takes the whole disk");
        }

        if (kind == FileKind.Regular && !rules.MayOverwrite)
        {
            throw TargetPlace.Taken(path);
        }

        if (full.Contains('\n', StringComparison.Ordinal))
        {
            throw new CommandException("the path of a thin disk must be one line");
        }
    }

    /// <summary>Makes sure that an image's base exists and is what it was, and uses it while it cannot be
    /// evicted.</summary>
    /// <param name="imageId">The image.</param>
    /// <param name="digest">The digest of its bytes, in hexadecimal.</param>
    /// <param name="make">Makes the base under the path given; called by one process at a time, if at all.</param>
    /// <param name="use">Uses it.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="CommandException">The base is not what it was, and overlays depend on it.</exception>
    public async Task UseAsync(
        string imageId, string digest, Func<string, Task> make, Func<string, Task> use,
        CancellationToken cancellationToken)
    {
        var name = $"{imageId}-{ProvisionMark.Shorten(digest)}{Suffix}";
        await using var held = await LockAsync(name, cancellationToken);
        held.SetModified(TimeProvider.System.GetUtcNow());
        if (!await IsWholeAsync(name, cancellationToken))
        {
            await make(_home.PathOf(name));
            await using var file = _home.ReadOwn(name)!;
            await (await BaseRecord.OfAsync(file, cancellationToken)).SaveAsync(_home, name, cancellationToken);
        }

        await use(_home.PathOf(name));
    }

    /// <summary>Makes an overlay on a base.</summary>
    /// <param name="basePath">The base, held.</param>
    /// <param name="path">The overlay.</param>
    /// <param name="size">Bytes of the disk; null for the base's.</param>
    /// <param name="rules">What may be done to a file that exists.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Bytes of the disk.</returns>
    /// <exception cref="CommandException">The disk would be smaller than the image's.</exception>
    public async Task<long> OverlayAsync(
        string basePath, string path, long? size, TargetRules rules, CancellationToken cancellationToken)
    {
        RequirePlace(path, rules);
        var name = Path.GetFileName(basePath);
        var smallest = _home.StatusOf(name)!.Value.Length;
        if (size < smallest)
        {
            throw new CommandException(
                $"The disk wanted ({size} bytes) is smaller than the image's ({smallest} bytes). (size_too_small)");
        }

        await NoteOverlayAsync(name, TargetPlace.Resolve(path).Path, cancellationToken);
        var options = new QcowCreateOptions
        {
            Size = size ?? smallest,
            BackingName = basePath,
            BackingFormat = "raw",
        };
        await NewDisk.CreateQcowAsync(
            path, options, DiskOpenOptions.Local(path), Preallocation.Off, rules, fill: null, cancellationToken);
        return options.Size;
    }

    /// <summary>Lists the bases, last used first.</summary>
    public async Task<IReadOnlyList<Base>> ListAsync(CancellationToken cancellationToken)
    {
        var found = new List<Base>();
        foreach (var name in Names())
        {
            if (await DescribeAsync(name, cancellationToken) is { } one)
            {
                found.Add(one);
            }
        }

        return [.. found.OrderByDescending(one => one.UsedAt)];
    }

    /// <summary>Reads all bases and compares them with what was recorded when they were complete.</summary>
    public async Task<IReadOnlyList<Checked>> CheckAsync(CancellationToken cancellationToken)
    {
        var found = new List<Checked>();
        foreach (var name in Names())
        {
            await using var held = await LockAsync(name, cancellationToken);
            await using var file = _home.ReadOwn(name);
            if (file is null)
            {
                continue; // evicted meanwhile
            }

            var record = await BaseRecord.LoadAsync(_home, name, cancellationToken);
            var damaged = record is null ? (long?)null : await record.DamagedBlocksAsync(file, cancellationToken);
            found.Add(new Checked(file.Path, damaged, await OverlaysAsync(name, cancellationToken)));
        }

        return found;
    }

    /// <summary>Removes the bases used longest ago until the others take no more than that, and none that an overlay
    /// needs or that a process is using.</summary>
    /// <param name="most">Bytes on the disk, 0 or more.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>What was removed.</returns>
    public async Task<IReadOnlyList<Base>> PruneAsync(long most, CancellationToken cancellationToken)
    {
        var all = await ListAsync(cancellationToken);
        var removed = new List<Base>();
        var left = all.Sum(one => one.Bytes);
        foreach (var one in all.Reverse())
        {
            if (left <= most)
            {
                break;
            }

            var name = Path.GetFileName(one.Path);
            await using var held = TryLock(name);
            if (held is null || await OverlaysAsync(name, cancellationToken) > 0)
            {
                continue;
            }

            Remove(name);
            left -= one.Bytes;
            removed.Add(one);
        }

        return removed;
    }

    /// <inheritdoc/>
    public void Dispose() => _home.Dispose();

    // Users who may write to a directory above could put another one in this one's place.
    private static void RequirePrivate(HostDirectory home, string directory)
    {
        if (!home.Status.IsPrivate)
        {
            throw new CommandException(
                $"the cache '{directory}' must belong to this user, and no other user may write to it (mode 0700 or 0755)");
        }

        for (var above = Path.GetDirectoryName(home.RealPath); above is not null; above = Path.GetDirectoryName(above))
        {
            if (FileStatus.Of(above)?.KeepsEntries != true)
            {
                throw new CommandException(
                    $"the cache '{directory}' must not be in '{above}', where other users can replace it");
            }
        }
    }

    private IEnumerable<string> Names() => Directory.GetFiles(_home.Path, $"*{Suffix}")
        .Select(path => Path.GetFileName(path)).Where(name => !name.StartsWith('.')).Order(StringComparer.Ordinal);

    private void Remove(string name)
    {
        _home.Remove(name);
        _home.Remove(name + BaseRecord.Suffix);
        _home.Remove(name + OverlaysSuffix);
    }

    /// <summary>Whether there is a base that is what it was. One that is not is removed where no overlay needs
    /// it.</summary>
    private async Task<bool> IsWholeAsync(string name, CancellationToken cancellationToken)
    {
        await using var file = _home.ReadOwn(name);
        if (file is null)
        {
            return false;
        }

        var (status, record) = (file.Status(), await BaseRecord.LoadAsync(_home, name, cancellationToken));
        if (record?.Fits(status) == true)
        {
            return true;
        }

        if (record is not null && await record.DamagedBlocksAsync(file, cancellationToken) == 0)
        {
            // Copied, restored or touched: another file with the same content.
            await record.For(status).SaveAsync(_home, name, cancellationToken);
            return true;
        }

        if (await OverlaysAsync(name, cancellationToken) is var overlays and > 0)
        {
            throw new CommandException(
                $"the base '{file.Path}' is not what it was when it was fetched, and {overlays} thin disks depend on it: " +
                $"see 'registry cache check --cache {_home.Path}'");
        }

        Remove(name);
        return false;
    }

    private async Task<Base?> DescribeAsync(string name, CancellationToken cancellationToken)
    {
        await using var file = _home.ReadOwn(name);
        if (file is null)
        {
            return null;
        }

        var used = _home.StatusOf(name + LockSuffix) ?? file.Status();
        return new Base(
            file.Path,
            file.AllocatedBytes(),
            await OverlaysAsync(name, cancellationToken),
            DateTimeOffset.UnixEpoch.AddTicks(used.ModifiedNanoseconds / TimeSpan.NanosecondsPerTick));
    }

    private async Task<int> OverlaysAsync(string name, CancellationToken cancellationToken)
    {
        await using var file = _home.ReadOwn(name + OverlaysSuffix);
        if (file is null)
        {
            return 0;
        }

        var text = new byte[file.Length];
        var read = await file.ReadAsync(0, text, cancellationToken);
        return Encoding.UTF8.GetString(text, 0, read).Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Distinct().Count(File.Exists);
    }

    private async Task NoteOverlayAsync(string name, string overlay, CancellationToken cancellationToken)
    {
        await using var file = _home.OpenOwn(name + OverlaysSuffix)
            ?? _home.CreateNew(name + OverlaysSuffix);
        await file.WriteAsync(file.Length, Encoding.UTF8.GetBytes(overlay + "\n"), cancellationToken);
    }

    private async Task<FileBytes> LockAsync(string name, CancellationToken cancellationToken)
    {
        while (true)
        {
            if (TryLock(name) is { } held)
            {
                return held;
            }

            await Task.Delay(LockPause, cancellationToken);
        }
    }

    private FileBytes? TryLock(string name)
    {
        try
        {
            return _home.OpenOwn(name + LockSuffix) ?? _home.CreateNew(name + LockSuffix);
        }
        catch (IOException taken) when (taken.HResult is IsLocked or IsTaken)
        {
            return null;
        }
    }
}
