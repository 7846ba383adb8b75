using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Registry.Durability;

/// <summary>fsync for files and directories that reports failure.</summary>
/// <remarks>The runtime's own flush calls return normally on Linux when <c>fsync(2)</c> fails, and it has no way to
/// flush a directory, without which a rename may be lost at a power cut. A failed flush is final: the kernel may have
/// dropped the dirty pages, so the file is to be discarded, never flushed again.</remarks>
internal static partial class DurableFile
{
    private const int OpenReadOnly = 0;
    private const int OpenCloseOnExec = 0x80000;
    private const int InterruptedCall = 4;

    /// <summary>Makes a file's content survive a power cut.</summary>
    /// <exception cref="IOException">fsync failed; discard the file.</exception>
    public static void Flush(SafeFileHandle file) => Flush(file, "file");

    /// <summary>Makes a directory's entries (creations, renames, removals) survive a power cut.</summary>
    /// <exception cref="IOException">The directory could not be opened or flushed.</exception>
    public static void FlushDirectory(string path)
    {
        using var handle = Open(path, OpenReadOnly | OpenCloseOnExec);
        if (handle.IsInvalid)
        {
            throw Failure("open", path, Marshal.GetLastPInvokeError());
        }

        Flush(handle, path);
    }

    private static void Flush(SafeFileHandle handle, string what)
    {
        while (FSync(handle) < 0)
        {
            var error = Marshal.GetLastPInvokeError();
            if (error != InterruptedCall)
            {
                throw Failure("fsync", what, error);
            }
        }
    }

    // errno is the HResult, as in the runtime's own I/O exceptions: a full disk can show up here first.
    private static IOException Failure(string call, string what, int error) =>
        new($"{call} of {what} failed: {new Win32Exception(error).Message} (errno {error})", error);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FSync(SafeFileHandle handle);
}
