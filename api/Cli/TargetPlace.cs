using Registry.Engine.Bytes;

namespace Registry.Api.Cli;

/// <summary>Where a verb writes: a new file in an open directory, an existing file that is replaced, or a block device
/// that is written in place.</summary>
internal sealed class TargetPlace : IAsyncDisposable
{
    private const int IsTaken = 17; // EEXIST
    private const int IsLocked = 11; // EWOULDBLOCK
    private const int DeviceTries = 60;
    private static readonly TimeSpan DevicePause = TimeSpan.FromMilliseconds(50);

    private readonly string _given;
    private readonly UnixFileMode _mode;
    private readonly FileBytes? _overwritten;
    private readonly KeptAttributes? _kept;

    private TargetPlace(
        string given, HostDirectory directory, string name, bool isDevice, UnixFileMode mode, FileBytes? overwritten)
    {
        (_given, Directory, Name, IsDevice, _mode, _overwritten) = (given, directory, name, isDevice, mode, overwritten);
        _kept = overwritten is null ? null : KeptAttributes.Of(overwritten);
    }

    /// <summary>The directory of the file or device, symbolic links resolved.</summary>
    public HostDirectory Directory { get; }

    /// <summary>The name in the directory.</summary>
    public string Name { get; }

    /// <summary>Whether it is a block device.</summary>
    public bool IsDevice { get; }

    /// <summary>Finds the place and opens what is there; changes nothing.</summary>
    /// <param name="path">A file or block device, also by symbolic links.</param>
    /// <param name="rules">What may be done.</param>
    /// <exception cref="CommandException">There is a file that may not be overwritten, or something that is neither a
    /// regular file nor a block device.</exception>
    /// <exception cref="IOException">It cannot be opened, or another run has it open.</exception>
    public static async Task<TargetPlace> OpenAsync(string path, TargetRules rules)
    {
        var (full, kind) = Resolve(path);
        if (kind == FileKind.Regular && !rules.MayOverwrite)
        {
            throw Taken(path);
        }

        var directory = HostDirectory.Open(Path.GetDirectoryName(full)!);
        FileBytes? overwritten = null;
        try
        {
            var name = Path.GetFileName(full);

            // Its locks last until the new file has its place: a machine that has the disk open would write to a lost file.
            overwritten = kind == FileKind.Regular ? directory.OpenRegular(name) : null;
            overwritten?.Claim(ImageUse.Write);
            return new TargetPlace(path, directory, name, kind == FileKind.BlockDevice, rules.Mode, overwritten);
        }
        catch
        {
            if (overwritten is not null)
            {
                await overwritten.DisposeAsync();
            }

            directory.Dispose();
            throw;
        }
    }

    /// <summary>Finds what a path leads to.</summary>
    /// <returns>The path without symbolic links, and what is there: nothing, a regular file, or a block device.</returns>
    /// <exception cref="CommandException">It is something else.</exception>
    public static (string Path, FileKind Kind) Resolve(string path)
    {
        if (path.Length == 0 || path.EndsWith('/'))
        {
            throw new CommandException($"'{path}' is not the name of a file");
        }

        var full = Path.GetFullPath(path);
        var kind = FileKinds.Of(full);
        if (kind is FileKind.Directory)
        {
            throw new CommandException($"'{path}' is a directory");
        }

        if (kind is FileKind.Pipe or FileKind.Other)
        {
            throw new CommandException($"'{path}' is neither a regular file nor a block device");
        }

        if (new FileInfo(full).LinkTarget is not null)
        {
            var target = File.ResolveLinkTarget(full, returnFinalTarget: true)!.FullName;
            if (kind == FileKind.Missing || FileKinds.Of(target) != kind)
            {
                throw new CommandException($"'{path}' is a symbolic link to '{target}', which does not exist");
            }

            full = target;
        }

        return (full, kind);
    }

    /// <summary>Opens the device to write.</summary>
    /// <exception cref="IOException">It cannot be written, or is in use.</exception>
    public async Task<FileBytes> OpenDeviceAsync(CancellationToken cancellationToken)
    {
        for (var tries = 1; ; tries++)
        {
            try
            {
                return await ClaimAsync(Directory.OpenDevice(Name));
            }
            catch (IOException e) when (e.HResult == IsLocked && tries < DeviceTries)
            {
                // udev holds the lock for a moment while it looks at a device that has just appeared.
                await Task.Delay(DevicePause, cancellationToken);
            }
        }
    }

    /// <summary>Requires that a file of this run can get what an overwritten file has; changes nothing.</summary>
    /// <exception cref="IOException">It cannot.</exception>
    public void RequireDressable(FileBytes file) => _kept?.RequireOwnerFor(file);

    /// <summary>Gives a file the mode of a new one, or owner, mode, access list and label of the file that it
    /// replaces.</summary>
    /// <exception cref="IOException">It cannot have them.</exception>
    public void Dress(FileBytes file)
    {
        if (_kept is not null)
        {
            _kept.ApplyTo(file);
        }
        else if (file.Status().Mode != _mode)
        {
            file.SetMode(_mode);
        }
    }

    /// <summary>Gives a finished file of the directory its place.</summary>
    /// <param name="partial">The name it has now.</param>
    /// <param name="isDurable">Whether the place survives a power cut from now on.</param>
    /// <exception cref="CommandException">Another program has made a file of that name meanwhile; it is kept.</exception>
    public void Publish(string partial, bool isDurable)
    {
        if (_overwritten is not null && Directory.StatusOf(Name)?.Identity != _overwritten.Identity())
        {
            throw new CommandException($"'{_given}' was replaced by another program meanwhile; it is kept as it is now");
        }

        try
        {
            Directory.Rename(partial, Name, replaces: _overwritten is not null);
        }
        catch (IOException e) when (e.HResult == IsTaken)
        {
            throw Taken(_given);
        }

        if (isDurable)
        {
            Directory.Flush();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_overwritten is not null)
        {
            await _overwritten.DisposeAsync();
        }

        Directory.Dispose();
    }

    /// <summary>The refusal of a file that exists.</summary>
    public static CommandException Taken(string path) => new($"'{path}' exists; use --overwrite to replace it");

    private static async Task<FileBytes> ClaimAsync(FileBytes device)
    {
        try
        {
            device.Claim(ImageUse.Write);
            return device;
        }
        catch
        {
            await device.DisposeAsync();
            throw;
        }
    }
}
