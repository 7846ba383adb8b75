namespace Registry.Support;

/// <summary>Permission bits of files that tests make.</summary>
public static class FileModes
{
    /// <summary>Sets the bits.</summary>
    public static void Set(string path, UnixFileMode mode)
    {
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(path, mode);
    }
}
