using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Registry.Engine.Bytes;

public sealed partial class FileBytes
{
    /// <summary>EINVAL.</summary>
    internal const int InvalidArgument = 22;

    private const int SeekEnd = 2;
    private const int SeekData = 3;
    private const int SeekHole = 4;
    private const int KeepSize = 0x01;
    private const int PunchHoleKeepSize = 0x02 | KeepSize;

    private const int InterruptedCall = 4;
    private const int NoSuchAddress = 6;
    private const int CrossDevice = 18;
    private const int NotImplemented = 38;
    private const int NotSupported = 95;

    /// <summary>lseek(2). The position it moves is never used: all I/O here is positional.</summary>
    private static long Seek(SafeFileHandle file, long offset, int whence) =>
        OperatingSystem.IsLinux() ? LSeek(file, offset, whence) : -1;

    /// <summary>Makes disk space belong to a part of the file; false when the file system or device cannot.</summary>
    /// <exception cref="IOException">The call failed for another reason.</exception>
    private static bool TryAllocate(SafeFileHandle file, long offset, long length) =>
        TryFAllocate(file, 0, offset, length);

    /// <summary>Punches a hole; false when the file system or device cannot.</summary>
    /// <exception cref="IOException">The call failed for another reason.</exception>
    private static bool TryPunchHole(SafeFileHandle file, long offset, long length) =>
        TryFAllocate(file, PunchHoleKeepSize, offset, length);

    private static bool TryFAllocate(SafeFileHandle file, int mode, long offset, long length)
    {
        if (!OperatingSystem.IsLinux())
        {
            return false;
        }

        while (FAllocate(file, mode, offset, length) < 0)
        {
            var error = Marshal.GetLastPInvokeError();
            if (error is NotSupported or NotImplemented or InvalidArgument)
            {
                return false;
            }

            if (error != InterruptedCall)
            {
                throw Failure("fallocate", error);
            }
        }

        return true;
    }

    /// <summary>Copies within the kernel; returns the bytes copied, -1 when these two files cannot be copied that
    /// way.</summary>
    /// <exception cref="IOException">The call failed for another reason.</exception>
    private static long TryCopyRange(
        SafeFileHandle source, long sourceOffset, SafeFileHandle target, long targetOffset, long length)
    {
        if (!OperatingSystem.IsLinux())
        {
            return -1;
        }

        while (true)
        {
            var copied = CopyFileRange(source, ref sourceOffset, target, ref targetOffset, (nuint)length, 0);
            if (copied >= 0)
            {
                return copied;
            }

            var error = Marshal.GetLastPInvokeError();
            if (error is CrossDevice or InvalidArgument or NotImplemented or NotSupported)
            {
                return -1;
            }

            if (error != InterruptedCall)
            {
                throw Failure("copy_file_range", error);
            }
        }
    }

    private static IOException Failure(string call, int error) =>
        new($"{call} failed: {Marshal.GetPInvokeErrorMessage(error)} (errno {error})", error);

    [LibraryImport("libc", EntryPoint = "lseek", SetLastError = true)]
    private static partial long LSeek(SafeFileHandle file, long offset, int whence);

    [LibraryImport("libc", EntryPoint = "fallocate", SetLastError = true)]
    private static partial int FAllocate(SafeFileHandle file, int mode, long offset, long length);

    [LibraryImport("libc", EntryPoint = "copy_file_range", SetLastError = true)]
    private static partial nint CopyFileRange(
        SafeFileHandle source,
        ref long sourceOffset,
        SafeFileHandle target,
        ref long targetOffset,
        nuint length,
        uint flags);
}
