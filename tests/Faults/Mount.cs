using Registry.Support;

namespace Registry.Faults;

/// <summary>A small tmpfs.</summary>
internal sealed class Mount : IAsyncDisposable
{
    private Mount(string path) => Path = path;

    /// <summary>Its directory.</summary>
    public string Path { get; }

    /// <summary>Bytes that are free.</summary>
    public long Free => new DriveInfo(Path).AvailableFreeSpace;

    /// <summary>Mounts one.</summary>
    /// <exception cref="CannotRunException">It cannot be mounted here.</exception>
    public static async Task<Mount> TmpfsAsync(int mebibytes)
    {
        var path = Directory.CreateTempSubdirectory("registry-full-").FullName;
        if (!Environment.IsPrivilegedProcess
            || await RunAsync("mount", "-t", "tmpfs", "-o", $"size={mebibytes}m", "tmpfs", path) != 0)
        {
            throw new CannotRunException("tmpfs cannot be mounted");
        }

        return new Mount(path);
    }

    /// <summary>Makes it read-only, or writable again. No file of it may be open to be written.</summary>
    public async Task SetReadOnlyAsync(bool isReadOnly)
    {
        if (await RunAsync("mount", "-o", $"remount,{(isReadOnly ? "ro" : "rw")}", Path) != 0)
        {
            throw new FaultException($"{Path} cannot be remounted");
        }
    }

    /// <summary>Writes a file until there is no room for another page.</summary>
    public async Task<string> FillAsync()
    {
        var file = System.IO.Path.Combine(Path, "filler");
        await using var stream = new FileStream(file, FileMode.Append, FileAccess.Write, FileShare.None, bufferSize: 0);
        var page = new byte[1 << 20];
        for (var length = page.Length; length >= 4096;)
        {
            try
            {
                await stream.WriteAsync(page.AsMemory(0, length));
            }
            catch (IOException)
            {
                length /= 2;
            }
        }

        return file;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await RunAsync("umount", Path);
        Directory.Delete(Path);
    }

    private static async Task<int> RunAsync(string program, params string[] arguments) =>
        (await ExternalTool.At(ExternalTool.Find(program)!).RunAsync(arguments, CancellationToken.None)).ExitCode;
}
