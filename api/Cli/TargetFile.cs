using Registry.Engine.Bytes;

namespace Registry.Api.Cli;

/// <summary>A file that a verb makes: visible under its name only when it is whole. A block device is written in
/// place.</summary>
internal sealed class TargetFile : IAsyncDisposable
{
    private readonly string _path;
    private readonly string? _partial;

    private TargetFile(string path, string? partial, FileBytes bytes) =>
        (_path, _partial, Bytes) = (path, partial, bytes);

    /// <summary>Where to write.</summary>
    public FileBytes Bytes { get; }

    /// <summary>Whether the target reads as zeroes where nothing was written.</summary>
    public bool IsZero => _partial is not null;

    /// <summary>Opens the target.</summary>
    /// <param name="path">A file to make or replace, or a block device.</param>
    /// <exception cref="CommandException">It is neither.</exception>
    /// <exception cref="IOException">It cannot be written.</exception>
    public static TargetFile Open(string path)
    {
        var full = Resolve(path);
        if (IsDevice(full))
        {
            return new TargetFile(full, null, FileBytes.OpenWrite(full));
        }

        var partial = Path.Combine(
            Path.GetDirectoryName(full)!, $".{Path.GetFileName(full)}.{Environment.ProcessId}.part");
        return new TargetFile(full, partial, FileBytes.Create(partial));
    }

    /// <summary>Gives the finished file its name.</summary>
    public void Publish()
    {
        if (_partial is not null)
        {
            File.Move(_partial, _path, overwrite: true);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await Bytes.DisposeAsync();
        if (_partial is not null)
        {
            File.Delete(_partial); // gone already when it was published
        }
    }

    /// <summary>The path of what is really written.</summary>
    /// <exception cref="CommandException">It is a directory, or something else that can be neither replaced nor written
    /// at any offset.</exception>
    public static string Resolve(string path)
    {
        var full = Path.GetFullPath(path);
        if (new FileInfo(full).LinkTarget is not null)
        {
            full = File.ResolveLinkTarget(full, returnFinalTarget: true)!.FullName;
        }

        return FileKinds.Of(full) switch
        {
            FileKind.Directory => throw new CommandException($"'{path}' is a directory."),
            FileKind.Other => throw new CommandException($"'{path}' is neither a file nor a block device."),
            _ => full,
        };
    }

    /// <summary>Whether a path is a block device's.</summary>
    public static bool IsDevice(string path) => FileKinds.Of(path) == FileKind.BlockDevice;
}
