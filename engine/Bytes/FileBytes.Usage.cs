using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Registry.Engine.Bytes;

/// <summary>What of a new file exists before its content is written.</summary>
public enum Preallocation
{
    /// <summary>Nothing: the file is sparse.</summary>
    Off,

    /// <summary>The tables that describe it; the content is a hole.</summary>
    Metadata,

    /// <summary>Disk space, not written.</summary>
    FAlloc,

    /// <summary>Zeroes, written.</summary>
    Full,
}

/// <content>How much of the disk a file takes.</content>
public sealed partial class FileBytes
{
    private const int StatxEmptyPath = 0x1000;
    private const uint StatxBlocks = 0x400;
    private const int StatxSize = 256;
    private const int StatxBlocksOffset = 48;
    private const int StatxBlockBytes = 512;

    /// <summary>Bytes of disk the file takes, holes not counted: what <c>du</c> says.</summary>
    /// <exception cref="IOException">The system would not tell.</exception>
    public long AllocatedBytes()
    {
        Span<byte> answer = stackalloc byte[StatxSize];
        Ask(StatxBlocks, answer);
        var blocks = answer[StatxBlocksOffset..];
        return checked(StatxBlockBytes * (BitConverter.IsLittleEndian
            ? BinaryPrimitives.ReadInt64LittleEndian(blocks)
            : BinaryPrimitives.ReadInt64BigEndian(blocks)));
    }

    /// <summary>Distinguishes this file from every other one on this machine, by whatever path it was opened.</summary>
    /// <exception cref="IOException">The system call failed.</exception>
    public string Identity() => OperatingSystem.IsLinux() ? Status().Identity : System.IO.Path.GetFullPath(Path);

    /// <summary>Reads what the operating system records of this file.</summary>
    /// <exception cref="IOException">The system call failed.</exception>
    public FileStatus Status() => FileStatus.Of(handle);

    /// <summary>Sets the permission bits.</summary>
    /// <exception cref="IOException">They cannot be set.</exception>
    /// <exception cref="UnauthorizedAccessException">The file belongs to another user.</exception>
    public void SetMode(UnixFileMode mode)
    {
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(handle, mode);
        }
    }

    /// <summary>Sets the time of the last change of the content.</summary>
    /// <exception cref="IOException">It cannot be set.</exception>
    public void SetModified(DateTimeOffset time) => File.SetLastWriteTimeUtc(handle, time.UtcDateTime);

    private void Ask(uint mask, Span<byte> answer)
    {
        if (Statx(handle, "", StatxEmptyPath, mask, ref MemoryMarshal.GetReference(answer)) != 0)
        {
            throw new IOException($"statx of {Path} failed with errno {Marshal.GetLastPInvokeError()}.");
        }
    }

    /// <summary>Gives a new file its length and disk space.</summary>
    /// <param name="preallocation">What shall exist.</param>
    /// <param name="count">Bytes of the file.</param>
    /// <param name="cancellationToken">Cancels the writing of zeroes.</param>
    /// <exception cref="IOException">There is no space, or writing failed.</exception>
    public ValueTask PreallocateAsync(
        Preallocation preallocation, long count, CancellationToken cancellationToken) =>
        PreallocateAsync(preallocation, 0, count, cancellationToken);

    /// <summary>Gives a part of a file, which holds nothing yet, disk space.</summary>
    /// <param name="preallocation">What shall exist.</param>
    /// <param name="offset">First byte.</param>
    /// <param name="count">Bytes; the file becomes as long where it is shorter.</param>
    /// <param name="cancellationToken">Cancels the writing of zeroes.</param>
    /// <exception cref="IOException">There is no space, or writing failed.</exception>
    public async ValueTask PreallocateAsync(
        Preallocation preallocation, long offset, long count, CancellationToken cancellationToken)
    {
        if (preallocation is Preallocation.Off or Preallocation.Metadata || count == 0)
        {
            return;
        }

        if (!IsBlockDevice && OperatingSystem.IsLinux())
        {
            RequireRoom(count - AllocatedBytes()); // some of it may be there already
        }

        if (checked(offset + count) > Length)
        {
            await SetLengthAsync(offset + count, cancellationToken).ConfigureAwait(false);
        }

        // Where space cannot be had without writing, it is written: as qemu-img does.
        if (preallocation == Preallocation.FAlloc && TryAllocate(handle, offset, count))
        {
            return;
        }

        await WriteZeroesAsync(offset, offset + count, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Makes disk space belong to the file after its end, without making it longer.</summary>
    /// <param name="count">Bytes.</param>
    /// <returns>False where the file system has no such call, and for a block device.</returns>
    /// <exception cref="IOException">There is not so much space; none is kept.</exception>
    public bool ReserveAtEnd(long count)
    {
        try
        {
            RequireRoom(count);
            return !IsBlockDevice && (count <= 0 || TryFAllocate(handle, KeepSize, Length, count));
        }
        catch (IOException)
        {
            ReleaseAtEnd();
            throw;
        }
    }

    // A reservation that is too large takes what there is before it fails, and all others on the file system meet a full one.
    private void RequireRoom(long count)
    {
        if (!IsBlockDevice && OperatingSystem.IsLinux()
            && count > new DriveInfo($"/proc/self/fd/{Descriptor}").AvailableFreeSpace)
        {
            throw new IOException($"No space left on device: '{Path}' needs {count} bytes more than there are");
        }
    }

    /// <summary>Gives disk space after the file's end back.</summary>
    /// <exception cref="IOException">The file cannot be changed.</exception>
    public void ReleaseAtEnd()
    {
        if (!IsBlockDevice)
        {
            RandomAccess.SetLength(handle, Length);
        }
    }

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(
        Microsoft.Win32.SafeHandles.SafeFileHandle directory, string path, int flags, uint mask, ref byte answer);
}
