using Registry.Durability;

namespace Registry.Storage.Blobs;

/// <summary>Directories that survive a power cut from the moment they are made.</summary>
public static class DurableDirectory
{
    /// <summary>Makes a directory and those above it where they are missing, for this user alone, and flushes each
    /// parent that got a new entry.</summary>
    /// <exception cref="IOException">It cannot be made or flushed.</exception>
    public static void Create(string path) => Create(Path.GetFullPath(path), DurableFile.FlushDirectory);

    internal static void Create(string path, Action<string> flushDirectory)
    {
        if (Directory.Exists(path))
        {
            return;
        }

        var parent = Path.GetDirectoryName(path)!;
        Create(parent, flushDirectory);
        DirectoryDisk.CreateDirectory(path);
        flushDirectory(parent);
    }
}
