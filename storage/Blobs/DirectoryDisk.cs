using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Registry.Durability;

namespace Registry.Storage.Blobs;

/// <summary>What the directory store asks of the operating system beyond plain file calls.</summary>
internal sealed partial class DirectoryDisk
{
    private const string UnixOnly = "The directory store needs a Unix file system.";

    private const UnixFileMode DirectoryMode =
        UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    private const UnixFileMode FileMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const int NoSuchEntry = 2;
    private const int InvalidArgument = 22;
    private const int NoSpace = 28;
    private const int IllegalSeek = 29;
    private const int ReadOnlyFileSystem = 30;
    private const int NotImplemented = 38;
    private const int QuotaExceeded = 122;
    private const uint SyncRangeWrite = 2;
    private const int AtWorkingDirectory = -100;
    private const int AtFollow = 0x400;
    private const int OpenReadOnly = 0;
    private const int OpenCloseOnExec = 0x80000;

    // The one flag whose value the processors do not agree on.
    private static readonly int _openNoFollow =
        RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm ? 0x8000 : 0x20000;

    /// <summary>Flushes a file; tests make it fail.</summary>
    public Action<SafeFileHandle> FlushFile { get; init; } = DurableFile.Flush;

    /// <summary>Flushes a directory; tests make it fail.</summary>
    public Action<string> FlushDirectory { get; init; } = DurableFile.FlushDirectory;

    /// <summary>Creates a file that must not exist, to write and to read back. Used by its handle only.</summary>
    public static FileStream CreateFile(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException(UnixOnly);
        }

        return new FileStream(path, new FileStreamOptions
        {
            Mode = System.IO.FileMode.CreateNew, // O_EXCL, which does not follow a link either
            Access = FileAccess.ReadWrite,
            Share = FileShare.Read,
            BufferSize = 0,
            UnixCreateMode = FileMode,
        });
    }

    /// <summary>Makes a directory, and those above it, where there is none.</summary>
    public static void CreateDirectory(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException(UnixOnly);
        }

        Directory.CreateDirectory(path, DirectoryMode);
    }

    /// <summary>Opens a file to read; never through a link.</summary>
    /// <returns>Null when there is none.</returns>
    /// <exception cref="IOException">It cannot be opened.</exception>
    public static SafeFileHandle? OpenRead(string path)
    {
        var handle = Open(path, OpenReadOnly | OpenCloseOnExec | _openNoFollow);
        if (!handle.IsInvalid)
        {
            return handle;
        }

        var error = Marshal.GetLastPInvokeError();
        handle.Dispose();
        return error == NoSuchEntry
            ? null
            : throw new IOException(
                $"open of {path} failed: {new Win32Exception(error).Message} (errno {error})", error);
    }

    /// <summary>Gives an open file another name on its file system, and opens it under that name, to read. Used by its
    /// handle only.</summary>
    /// <exception cref="IOException">It cannot be linked.</exception>
    public static FileStream LinkFile(SafeFileHandle file, string path)
    {
        // By the descriptor: what the old name means by now is of no interest.
        var open = $"/proc/self/fd/{file.DangerousGetHandle()}";
        if (LinkAt(AtWorkingDirectory, open, AtWorkingDirectory, path, AtFollow) < 0)
        {
            var error = Marshal.GetLastPInvokeError();
            throw new IOException(
                $"the file cannot be linked into the store: {new Win32Exception(error).Message} (errno {error})", error);
        }

        return new FileStream(
            OpenRead(path) ?? throw new IOException($"{path} is gone", NoSuchEntry), FileAccess.Read, bufferSize: 0);
    }

    /// <summary>Starts to write a range of a file to the disk and does not wait for it. A hint: only a flush makes it
    /// last, and a flush reports what failed meanwhile.</summary>
    /// <exception cref="IOException">The disk refused already.</exception>
    public static void StartWriteback(SafeFileHandle file, long offset, long length)
    {
        if (SyncFileRange(file, offset, length, SyncRangeWrite) == 0)
        {
            return;
        }

        var error = Marshal.GetLastPInvokeError();
        if (error is not (InvalidArgument or IllegalSeek or NotImplemented))
        {
            throw new IOException(
                $"sync_file_range failed: {new Win32Exception(error).Message} (errno {error})", error);
        }
    }

    /// <summary>Whether a failure is the disk's, to be told in the store's words.</summary>
    public static bool IsFailure(Exception exception) =>
        exception is IOException or UnauthorizedAccessException or ArgumentOutOfRangeException;

    /// <summary>Puts a failure into the store's words: full, or failed.</summary>
    /// <remarks>The runtime reports EFBIG, the file system's limit on one file, as an argument out of range.</remarks>
    public static IOException Describe(string storeId, Exception exception) => exception switch
    {
        IOException { HResult: NoSpace or QuotaExceeded } => new StoreFullException(storeId, exception),
        ArgumentOutOfRangeException => new StoreFullException(storeId, exception),
        IOException { HResult: ReadOnlyFileSystem } => new StoreUnavailableException(
            storeId, "is on a read-only file system", mayPass: true, exception),
        _ => new IOException($"Store '{storeId}' failed: {exception.Message}", exception),
    };

    [LibraryImport("libc", EntryPoint = "sync_file_range", SetLastError = true)]
    private static partial int SyncFileRange(SafeFileHandle file, long offset, long length, uint flags);

    [LibraryImport("libc", EntryPoint = "linkat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int LinkAt(int fromDirectory, string from, int toDirectory, string to, int flags);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle Open(string path, int flags);
}
