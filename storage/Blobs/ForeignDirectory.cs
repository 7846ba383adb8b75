using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Registry.Storage.Blobs;

/// <summary>A directory of another program's files, of which somebody who is not trusted says which to open: nothing
/// outside of it can be reached.</summary>
/// <param name="path">The directory; a link to one is followed, for the operator named it.</param>
public sealed partial class ForeignDirectory(string path)
{
    private const int ReadOnly = 0;
    private const int NonBlocking = 0x800; // a pipe without a writer must not hold us
    private const int CloseOnExec = 0x80000;
    private const int NoSuchEntry = 2;
    private const int NotADirectory = 20;
    private const int TooManyLinks = 40;

    private static readonly bool _isArm =
        RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm;

    // The two flags whose values the processors do not agree on.
    private static readonly int _directory = _isArm ? 0x4000 : 0x10000;
    private static readonly int _noFollow = _isArm ? 0x8000 : 0x20000;

    /// <summary>The directory.</summary>
    public string Path => path;

    /// <summary>Opens a file below the directory, to read.</summary>
    /// <param name="relative">Its path from there, with '/'. Neither it nor a directory on the way may be a
    /// link.</param>
    /// <exception cref="FileNotFoundException">There is none.</exception>
    /// <exception cref="UnauthorizedAccessException">The path leads, or might lead, out of the directory: it has empty
    /// parts, '.', '..', or links.</exception>
    /// <exception cref="IOException">It cannot be opened.</exception>
    public SafeFileHandle Open(string relative)
    {
        ArgumentNullException.ThrowIfNull(relative);
        var parts = relative.Split('/');
        if (Array.Exists(parts, part => part is "" or "." or ".." || part.Contains('\0')))
        {
            throw new UnauthorizedAccessException($"'{relative}' is no plain path below {path}.");
        }

        var handle = Check(Open(path, ReadOnly | CloseOnExec | _directory), path);
        foreach (var part in parts[..^1])
        {
            using var above = handle;
            handle = Check(OpenAt(above, part, ReadOnly | CloseOnExec | _directory | _noFollow), relative);
        }

        using var directory = handle;
        var file = Check(OpenAt(directory, parts[^1], ReadOnly | CloseOnExec | NonBlocking | _noFollow), relative);
        if (IsFile(file))
        {
            return file;
        }

        file.Dispose();
        throw new IOException($"'{relative}' below {path} is no file.");
    }

    private static bool IsFile(SafeFileHandle handle)
    {
        try
        {
            return !File.GetAttributes(handle).HasFlag(FileAttributes.Directory) && RandomAccess.GetLength(handle) >= 0;
        }
        catch (NotSupportedException)
        {
            return false; // a pipe or the like has no length
        }
    }

    private SafeFileHandle Check(SafeFileHandle handle, string what)
    {
        if (!handle.IsInvalid)
        {
            return handle;
        }

        var error = Marshal.GetLastPInvokeError();
        handle.Dispose();
        throw error switch
        {
            NoSuchEntry => new FileNotFoundException($"There is no '{what}' below {path}."),
            NotADirectory or TooManyLinks => new UnauthorizedAccessException(
                $"'{what}' below {path} is a link, or leads through something else than directories."),
            _ => new IOException(
                $"open of '{what}' below {path} failed: {new Win32Exception(error).Message} (errno {error})", error),
        };
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "openat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle OpenAt(SafeFileHandle directory, string path, int flags);
}
