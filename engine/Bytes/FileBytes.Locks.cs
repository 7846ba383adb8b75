using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Registry.Engine.Bytes;

/// <content>QEMU's image locks (block/file-posix.c): byte 100 + N is locked by a process that uses permission N, byte 200 + N by
/// one that lets no other process use it. All locks are shared ones; who wants a permission looks whether the byte that forbids it
/// is locked by another open file.</content>
public sealed partial class FileBytes
{
    private const int UsedBase = 100;
    private const int ForbiddenBase = 200;
    private const int ConsistentRead = 0;
    private const int WriteData = 1;
    private const int Resize = 3;

    private const int LockGet = 36; // F_OFD_GETLK
    private const int LockSet = 37; // F_OFD_SETLK
    private const short SharedLock = 0;
    private const short ExclusiveLock = 1;
    private const short Unlocked = 2;
    private const int NoLocksLeft = 37;

    private static readonly int[] Reading = [ConsistentRead];
    private static readonly int[] Writing = [ConsistentRead, WriteData, Resize];
    private static readonly int[] Changes = [WriteData, Resize];

    /// <summary>Opens an existing file or block device to write and read, and claims it.</summary>
    /// <exception cref="FileInUseException">Another process uses it.</exception>
    /// <exception cref="IOException">It does not exist or may not be written.</exception>
    public static async ValueTask<FileBytes> OpenClaimedAsync(string path)
    {
        var file = OpenWrite(path);
        try
        {
            file.Claim(ImageUse.Write);
            return file;
        }
        catch
        {
            await file.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Tells QEMU and other users of image files what this process does with the file, until it is closed.</summary>
    /// <exception cref="FileInUseException">Another process, or another open file of this one, excludes it.</exception>
    /// <exception cref="IOException">The system refused for another reason.</exception>
    /// <remarks>Where the file system has no such locks, no process can have one, and nothing is done.</remarks>
    public void Claim(ImageUse use)
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        var used = use == ImageUse.Write ? Writing : Reading;
        var forbidden = use == ImageUse.Shared ? [] : Changes;
        if (!used.All(permission => TryLock(UsedBase + permission))
            || !forbidden.All(permission => TryLock(ForbiddenBase + permission)))
        {
            return;
        }

        // Both sides lock before they look: of two that claim at the same moment, one sees the other at least.
        foreach (var permission in used)
        {
            Require(ForbiddenBase + permission, $"\"{NameOf(permission)}\"");
        }

        foreach (var permission in forbidden)
        {
            Require(UsedBase + permission, $"shared \"{NameOf(permission)}\"");
        }
    }

    private static string NameOf(int permission) => permission switch
    {
        ConsistentRead => "consistent read",
        WriteData => "write",
        _ => "resize",
    };

    private bool TryLock(long offset)
    {
        var wanted = new FileLock { Type = SharedLock, Start = offset, Length = 1 };
        while (FileControl(handle, LockSet, ref wanted) < 0)
        {
            var error = Marshal.GetLastPInvokeError();
            if (error is InvalidArgument or NotImplemented or NotSupported or NoLocksLeft)
            {
                return false;
            }

            if (error != InterruptedCall)
            {
                throw Failure($"locking '{Path}'", error);
            }
        }

        return true;
    }

    private void Require(long offset, string name)
    {
        var asked = new FileLock { Type = ExclusiveLock, Start = offset, Length = 1 };
        if (FileControl(handle, LockGet, ref asked) < 0)
        {
            throw Failure($"asking for locks of '{Path}'", Marshal.GetLastPInvokeError());
        }

        if (asked.Type != Unlocked)
        {
            throw new FileInUseException(Path, name);
        }
    }

    /// <summary>struct flock of 64-bit Linux.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct FileLock
    {
        public short Type;
        public short Whence;
        public long Start;
        public long Length;
        public int Process;
    }

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int FileControl(SafeFileHandle file, int command, ref FileLock argument);
}
