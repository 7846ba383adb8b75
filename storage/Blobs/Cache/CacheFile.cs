using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Registry.Storage.Blobs.Cache;

/// <summary>The files of the cache: sparse, for this user alone.</summary>
internal static partial class CacheFile
{
    private const int SeekData = 3;
    private const int SeekHole = 4;
    private const int NoDataAfter = 6; // ENXIO

    /// <summary>Opens a file to write, making it and its directory where there is none.</summary>
    /// <exception cref="IOException">It cannot be opened.</exception>
    public static FileStream OpenWrite(string path)
    {
        try
        {
            return Open(path);
        }
        catch (DirectoryNotFoundException)
        {
            DirectoryDisk.CreateDirectory(Path.GetDirectoryName(path)!);
            return Open(path);
        }
    }

    /// <summary>Where the file has data: runs of bytes.</summary>
    /// <exception cref="IOException">The system would not tell.</exception>
    public static IEnumerable<(long From, long Until)> Runs(SafeFileHandle file)
    {
        for (var at = 0L; Seek(file, at, SeekData) is var from and >= 0;)
        {
            at = Seek(file, from, SeekHole);
            if (at < 0)
            {
                yield break; // it became shorter meanwhile
            }

            yield return (from, at);
        }
    }

    private static FileStream Open(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException("The cache needs a Unix file system.");
        }

        return new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.OpenOrCreate,
            Access = FileAccess.Write,
            Share = FileShare.ReadWrite | FileShare.Delete,
            BufferSize = 0,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
    }

    // -1: nothing of the kind from there on.
    private static long Seek(SafeFileHandle file, long offset, int whence)
    {
        var found = LSeek(file, offset, whence);
        if (found >= 0)
        {
            return found;
        }

        var error = Marshal.GetLastPInvokeError();
        return error == NoDataAfter ? -1 : throw new IOException($"lseek failed (errno {error})", error);
    }

    [LibraryImport("libc", EntryPoint = "lseek", SetLastError = true)]
    private static partial long LSeek(SafeFileHandle file, long offset, int whence);
}
