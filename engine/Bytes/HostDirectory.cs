using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Registry.Engine.Bytes;

/// <summary>An open directory of this host. Entries are opened, renamed and removed relative to it, and symbolic links
/// among them are never followed.</summary>
/// <remarks>Where other users may create entries (<c>/tmp</c>, a shared directory of disks), a path can lead elsewhere
/// from one system call to the next. Linux only.</remarks>
public sealed partial class HostDirectory : IDisposable
{
    private const int ReadOnly = 0;
    private const int ReadWrite = 2;
    private const int CreateFlag = 0x40;
    private const int ExclusiveFlag = 0x80;
    private const int NonBlockingFlag = 0x800;
    private const int CloseOnExecFlag = 0x80000;
    private const int NewFileMode = 0x180; // 0600
    private const UnixFileMode OwnerDirectory =
        UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    private const string OwnFile =
        "a regular file with one name that belongs to this user and only this user may write to; remove it";
    private const int LockExclusive = 2;
    private const int LockWithoutWaiting = 4;
    private const int LockRelease = 8;
    private const uint WithoutReplacing = 1; // RENAME_NOREPLACE

    // Both flags have other values on ARM.
    private static readonly bool IsArm = RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm;
    private static readonly int NoFollowFlag = IsArm ? 0x8000 : 0x20000;
    private static readonly int DirectoryFlag = IsArm ? 0x4000 : 0x10000;

    private readonly SafeFileHandle handle;

    private HostDirectory(string path, SafeFileHandle handle) => (Path, this.handle) = (path, handle);

    /// <summary>The path it was opened by, absolute.</summary>
    public string Path { get; }

    /// <summary>Reads what the operating system records of the directory.</summary>
    /// <exception cref="IOException">The system call failed.</exception>
    public FileStatus Status => FileStatus.Of(handle);

    /// <summary>Opens a directory, through symbolic links.</summary>
    /// <exception cref="IOException">It does not exist, is not a directory, or may not be read.</exception>
    public static HostDirectory Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var full = System.IO.Path.GetFullPath(path);
        var opened = OpenPath(full, ReadOnly | DirectoryFlag | CloseOnExecFlag, 0);
        return opened.IsInvalid ? throw SystemCall.Failure("open", full) : new HostDirectory(full, opened);
    }

    /// <summary>Opens a directory; where there is none, makes one that only this user may enter.</summary>
    /// <exception cref="IOException">It cannot be made or read.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be made.</exception>
    public static HostDirectory OpenOrCreate(string path)
    {
        if (!OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(path, OwnerDirectory);
        }

        return Open(path);
    }

    /// <summary>The path without symbolic links, as it is now.</summary>
    /// <exception cref="IOException">The directory has been removed.</exception>
    public string RealPath => File.ResolveLinkTarget(
        $"/proc/self/fd/{handle.DangerousGetHandle()}", returnFinalTarget: false)?.FullName ?? Path;

    /// <summary>The path of an entry.</summary>
    public string PathOf(string name) => System.IO.Path.Combine(Path, name);

    /// <summary>Reads the status of an entry; a symbolic link is not followed.</summary>
    /// <returns>Null when the entry does not exist.</returns>
    public FileStatus? StatusOf(string name) => FileStatus.OfEntry(handle, name);

    /// <summary>Creates a file that only this user may read and write, locked against other runs.</summary>
    /// <param name="name">Its name.</param>
    /// <exception cref="IOException">There is an entry of that name, or none can be made.</exception>
    public FileBytes CreateNew(string name)
    {
        var file = OpenEntry(name, ReadWrite | CreateFlag | ExclusiveFlag);
        return file.IsInvalid ? throw SystemCall.Failure("open", PathOf(name)) : Take(name, file, isLocked: true);
    }

    /// <summary>Opens a regular file to write and read, locked against other runs.</summary>
    /// <param name="name">Its name.</param>
    /// <returns>Null when the entry does not exist.</returns>
    /// <exception cref="IOException">It is not a regular file, may not be written, or another run has it open.</exception>
    public FileBytes? OpenRegular(string name) =>
        OpenExisting(name, ReadWrite, isLocked: true, status => status.Kind == FileKind.Regular, "a regular file");

    /// <summary>Opens a file that only this user can have written, to write and read, locked against other runs.</summary>
    /// <param name="name">Its name.</param>
    /// <returns>Null when the entry does not exist.</returns>
    /// <exception cref="IOException">It is a symbolic link, has several names, belongs to another user, others may write
    /// to it, or another run has it open.</exception>
    public FileBytes? OpenOwn(string name) =>
        OpenExisting(name, ReadWrite, isLocked: true, status => status.IsOwnFile, OwnFile);

    /// <summary>Opens a file that only this user can have written, to read.</summary>
    /// <param name="name">Its name.</param>
    /// <returns>Null when the entry does not exist.</returns>
    /// <exception cref="IOException">It is a symbolic link, has several names, belongs to another user, or others may
    /// write to it.</exception>
    public FileBytes? ReadOwn(string name) =>
        OpenExisting(name, ReadOnly, isLocked: false, status => status.IsOwnFile, OwnFile);

    /// <summary>Opens a block device to write and read. A device that the system uses (mounted, in an array or a volume
    /// group, swap) is refused.</summary>
    /// <param name="name">The name of its node.</param>
    /// <exception cref="IOException">It is not a block device, may not be written, or is in use.</exception>
    public FileBytes OpenDevice(string name)
    {
        var file = OpenEntry(name, ReadWrite | NonBlockingFlag | ExclusiveFlag);
        if (file.IsInvalid)
        {
            throw Marshal.GetLastPInvokeError() == SystemCall.Busy
                ? new IOException(
                    $"the device '{PathOf(name)}' is in use: it is mounted or part of another device", SystemCall.Busy)
                : SystemCall.Failure("open", PathOf(name));
        }

        Require(name, file, status => status.Kind == FileKind.BlockDevice, "a block device");
        return Take(name, file, isLocked: true);
    }

    /// <summary>Renames an entry.</summary>
    /// <param name="from">Its name.</param>
    /// <param name="to">Its new name.</param>
    /// <param name="replaces">Whether an entry of the new name is replaced; otherwise it is kept and this fails.</param>
    /// <exception cref="IOException">It cannot be renamed; with errno 17 (EEXIST) as <see cref="Exception.HResult"/> where
    /// the name is taken.</exception>
    public void Rename(string from, string to, bool replaces)
    {
        if (TryRename(from, to, replaces ? 0 : WithoutReplacing, out var error))
        {
            return;
        }

        if (!replaces && error is SystemCall.InvalidArgument or SystemCall.NotImplemented)
        {
            // File systems that cannot do both in one step.
            RenameByLink(from, to);
            return;
        }

        throw SystemCall.Failure("rename", PathOf(to), error);
    }

    /// <summary>Removes an entry; nothing happens where there is none.</summary>
    /// <exception cref="IOException">It cannot be removed.</exception>
    public void Remove(string name)
    {
        if (UnlinkAt(handle, name, 0) != 0 && Marshal.GetLastPInvokeError() != SystemCall.NotFound)
        {
            throw SystemCall.Failure("unlink", PathOf(name));
        }
    }

    /// <summary>Makes creations, renames and removals survive a power cut.</summary>
    /// <exception cref="IOException">The directory could not be flushed.</exception>
    public void Flush() => Durability.DurableFile.Flush(handle);

    /// <inheritdoc/>
    public void Dispose() => handle.Dispose();

    /// <summary>Releases the lock of a file that was opened here.</summary>
    internal static void Unlock(SafeFileHandle file) => _ = FLock(file, LockRelease);

    private FileBytes? OpenExisting(
        string name, int access, bool isLocked, Func<FileStatus, bool> isWanted, string wanted)
    {
        var file = OpenEntry(name, access | NonBlockingFlag);
        if (file.IsInvalid)
        {
            var error = Marshal.GetLastPInvokeError();
            return error switch
            {
                SystemCall.NotFound => null,
                SystemCall.IsLink or SystemCall.IsDirectory or SystemCall.NoSuchAddress => throw NotWanted(name, wanted),
                _ => throw SystemCall.Failure("open", PathOf(name), error),
            };
        }

        Require(name, file, isWanted, wanted);
        return Take(name, file, isLocked);
    }

    private SafeFileHandle OpenEntry(string name, int flags) =>
        OpenAt(handle, name, flags | NoFollowFlag | CloseOnExecFlag, NewFileMode);

    private void Require(string name, SafeFileHandle file, Func<FileStatus, bool> isWanted, string wanted)
    {
        if (!isWanted(FileStatus.Of(file)))
        {
            file.Dispose();
            throw NotWanted(name, wanted);
        }
    }

    private IOException NotWanted(string name, string wanted) => new($"'{PathOf(name)}' is not {wanted}");

    private FileBytes Take(string name, SafeFileHandle file, bool isLocked)
    {
        try
        {
            if (isLocked)
            {
                Lock(name, file);
            }

            return new FileBytes(PathOf(name), file, isLocked);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    // The same lock that the runtime takes for files that are not shared, so that both exclude each other.
    private void Lock(string name, SafeFileHandle file)
    {
        if (FLock(file, LockExclusive | LockWithoutWaiting) != 0
            && Marshal.GetLastPInvokeError() == SystemCall.WouldBlock)
        {
            throw new IOException($"'{PathOf(name)}' is in use by another run", SystemCall.WouldBlock);
        }

        // The run that held the lock may have given the file another name before it ended.
        if (StatusOf(name)?.Identity != FileStatus.Of(file).Identity)
        {
            throw new IOException($"'{PathOf(name)}' is in use by another run", SystemCall.WouldBlock);
        }
    }

    private bool TryRename(string from, string to, uint flags, out int error)
    {
        try
        {
            error = RenameAt(handle, from, handle, to, flags) == 0 ? 0 : Marshal.GetLastPInvokeError();
        }
        catch (EntryPointNotFoundException)
        {
            error = SystemCall.NotImplemented;
        }

        return error == 0;
    }

    private void RenameByLink(string from, string to)
    {
        if (LinkAt(handle, from, handle, to, 0) != 0)
        {
            throw SystemCall.Failure("rename", PathOf(to));
        }

        Remove(from);
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle OpenPath(string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "openat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle OpenAt(SafeFileHandle directory, string name, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    private static partial int FLock(SafeFileHandle file, int operation);

    [LibraryImport("libc", EntryPoint = "renameat2", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int RenameAt(
        SafeFileHandle fromDirectory, string from, SafeFileHandle toDirectory, string to, uint flags);

    [LibraryImport("libc", EntryPoint = "linkat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int LinkAt(
        SafeFileHandle fromDirectory, string from, SafeFileHandle toDirectory, string to, int flags);

    [LibraryImport("libc", EntryPoint = "unlinkat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int UnlinkAt(SafeFileHandle directory, string name, int flags);
}
