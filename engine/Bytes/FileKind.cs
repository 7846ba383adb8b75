namespace Registry.Engine.Bytes;

/// <summary>What a path leads to.</summary>
public enum FileKind
{
    /// <summary>Nothing, or nothing that this process may look at.</summary>
    Missing,

    /// <summary>A regular file.</summary>
    Regular,

    /// <summary>A directory.</summary>
    Directory,

    /// <summary>A block device.</summary>
    BlockDevice,

    /// <summary>A symbolic link that is not followed.</summary>
    Link,

    /// <summary>A pipe.</summary>
    Pipe,

    /// <summary>A character device or a socket.</summary>
    Other,
}

/// <summary>Determines the kinds of files.</summary>
/// <remarks>.NET does not: on Linux no file has <see cref="FileAttributes.Device"/>.</remarks>
public static class FileKinds
{
    /// <summary>Returns what a path leads to, through symbolic links.</summary>
    public static FileKind Of(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return OperatingSystem.IsLinux()
            ? FileStatus.Of(path)?.Kind ?? FileKind.Missing
            : Directory.Exists(path) ? FileKind.Directory : File.Exists(path) ? FileKind.Regular : FileKind.Missing;
    }
}
