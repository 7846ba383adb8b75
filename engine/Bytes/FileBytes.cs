using System.Buffers;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Registry.Durability;

namespace Registry.Engine.Bytes;

/// <summary>A local file or block device as bytes to read and to write.</summary>
/// <remarks>Reads and writes are positional and may run in parallel. Holes are found with SEEK_DATA and SEEK_HOLE and
/// made with fallocate where the file system have them; elsewhere a file is one run of data and zeroes are
/// written.</remarks>
public sealed partial class FileBytes : IByteFile
{
    private const int ZeroChunkBytes = 1 << 20;
    private const int InlineCopyBytes = 1 << 20;
    private static readonly byte[] Zeroes = new byte[ZeroChunkBytes];

    private readonly SafeFileHandle handle;
    private readonly bool isLocked;
    private long length;

    /// <summary>Takes an open file over.</summary>
    /// <param name="path">The path it was opened by.</param>
    /// <param name="handle">The open file; closed with this.</param>
    /// <param name="isLocked">Whether it is locked by <see cref="HostDirectory"/>.</param>
    internal FileBytes(string path, SafeFileHandle handle, bool isLocked = false)
    {
        this.handle = handle;
        this.isLocked = isLocked;
        Path = path;
        length = RandomAccess.GetLength(handle);
        if (length == 0)
        {
            // stat(2) gives a block device no size; seeking to its end does.
            length = Math.Max(0, Seek(handle, 0, SeekEnd));
            IsBlockDevice = length > 0;
        }
    }

    /// <summary>The path it was opened by.</summary>
    public string Path { get; }

    /// <summary>Whether this is a device: its length is fixed, and a fresh one is not zero.</summary>
    public bool IsBlockDevice { get; }

    /// <summary>The open file's number in this process.</summary>
    internal nint Descriptor => handle.DangerousGetHandle();

    /// <summary>The open file.</summary>
    internal SafeFileHandle Handle => handle;

    /// <summary>Length in bytes; grows with writes where this was opened to write.</summary>
    public long Length => Interlocked.Read(ref length);

    /// <summary>Opens a file or block device to read.</summary>
    /// <exception cref="IOException">It does not exist or may not be read.</exception>
    public static FileBytes OpenRead(string path) =>
        Open(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);

    /// <summary>Creates a file to write and read; fails where there is one.</summary>
    /// <exception cref="IOException">It exists or may not be made.</exception>
    public static FileBytes CreateNew(string path) =>
        Open(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None);

    /// <summary>Creates a file to write and read; an existing one is emptied.</summary>
    /// <exception cref="IOException">It may not be made.</exception>
    public static FileBytes Create(string path)
    {
        // A file truncated to nothing is flushed by ext4 when it is closed, for the sake of programs that replace files
        // that way. So it is closed at once, while there is nothing to flush.
        Open(path, FileMode.Create, FileAccess.ReadWrite, FileShare.None).handle.Dispose();
        return Open(path, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
    }

    /// <summary>Opens an existing file or block device to write and read, its content as it is.</summary>
    /// <param name="path">The file.</param>
    /// <param name="isShared">Whether it may be open elsewhere meanwhile, to be read.</param>
    /// <exception cref="IOException">It does not exist or may not be written.</exception>
    public static FileBytes OpenWrite(string path, bool isShared = false) =>
        Open(path, FileMode.Open, FileAccess.ReadWrite, isShared ? FileShare.ReadWrite : FileShare.None);

    /// <inheritdoc/>
    /// <remarks>On the caller's thread: a file has no other way than to hold a thread, and handing a copy out of the
    /// page cache to another one costs more than the copy.</remarks>
    public ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        cancellationToken.ThrowIfCancellationRequested();
        var done = 0;
        while (done < buffer.Length)
        {
            var read = RandomAccess.Read(handle, buffer.Span[done..], offset + done);
            if (read == 0)
            {
                break;
            }

            done += read;
        }

        return new(done);
    }

    /// <inheritdoc/>
    public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken)
    {
        var end = Length;
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(offset, end);
        var data = Seek(handle, offset, SeekData);
        if (data < 0)
        {
            // ENXIO: no data from here to the end. Anything else: the file system cannot tell.
            var isHole = OperatingSystem.IsLinux() && Marshal.GetLastPInvokeError() == NoSuchAddress;
            return new(new ByteRun(end - offset, isHole));
        }

        if (data > offset)
        {
            return new(new ByteRun(Math.Min(data, end) - offset, IsHole: true));
        }

        var hole = Seek(handle, offset, SeekHole);
        var stop = hole <= offset || hole > end ? end : hole;
        return new(new ByteRun(stop - offset, IsHole: false));
    }

    /// <inheritdoc/>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        cancellationToken.ThrowIfCancellationRequested();
        Grow(offset + data.Length);
        try
        {
            RandomAccess.Write(handle, data.Span, offset);
        }
        catch (IOException e) when (!e.Message.Contains(Path, StringComparison.Ordinal))
        {
            throw new IOException($"{e.Message} : '{Path}'", e.HResult); // the handle does not know its path
        }

        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public async ValueTask ZeroAsync(long offset, long length, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        var end = checked(offset + length);
        var old = Length;
        if (end > old && !IsBlockDevice)
        {
            await SetLengthAsync(end, cancellationToken).ConfigureAwait(false);
            end = old;
        }

        if (end <= offset || TryPunchHole(handle, offset, end - offset))
        {
            return;
        }

        await WriteZeroesAsync(offset, end, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask SetLengthAsync(long length, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        if (!IsBlockDevice)
        {
            try
            {
                RandomAccess.SetLength(handle, length);
            }
            catch (ArgumentOutOfRangeException e)
            {
                // What .NET makes of EFBIG, and it does not say of which file.
                throw new IOException($"'{Path}' cannot be {length} bytes long: the file system has no files so large", e);
            }

            Interlocked.Exchange(ref this.length, length);
        }
        else if (length > Length)
        {
            throw new IOException($"The device {Path} holds {Length} bytes; {length} are needed.");
        }

        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public async ValueTask FlushAsync(CancellationToken cancellationToken) =>
        // fsync blocks for as long as the disk needs; it must not block the caller's thread meanwhile.
        await Task.Run(() => DurableFile.Flush(handle), cancellationToken).ConfigureAwait(false);

    /// <summary>Copies bytes into another file, inside the kernel where the file system allows it.</summary>
    /// <param name="offset">First byte here.</param>
    /// <param name="target">Where to.</param>
    /// <param name="targetOffset">First byte there.</param>
    /// <param name="count">Bytes to copy; they must exist here.</param>
    /// <param name="cancellationToken">Cancels between pieces of at most 128 MiB.</param>
    /// <exception cref="IOException">A read or write failed, or this file ends early.</exception>
    public async ValueTask CopyToAsync(
        long offset, FileBytes target, long targetOffset, long count, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(target);
        target.Grow(targetOffset + count);
        while (count > 0)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var from = offset;
            var to = targetOffset;
            var step = Math.Min(count, 128L << 20);

            // A short copy is a moment of memory traffic; handing it to another thread costs more.
            var copied = step <= InlineCopyBytes
                ? TryCopyRange(handle, from, target.handle, to, step)
                : await Task.Run(() => TryCopyRange(handle, from, target.handle, to, step), cancellationToken)
                    .ConfigureAwait(false);
            if (copied < 0)
            {
                await CopyByBufferAsync(offset, target, targetOffset, count, cancellationToken).ConfigureAwait(false);
                return;
            }

            if (copied == 0)
            {
                throw new EndOfStreamException($"{Path} ends before byte {offset + count}.");
            }

            offset += copied;
            targetOffset += copied;
            count -= copied;
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        if (isLocked && !handle.IsClosed)
        {
            // A process that is being started holds every open file for a moment: closing alone does not unlock.
            HostDirectory.Unlock(handle);
        }

        handle.Dispose();
        return ValueTask.CompletedTask;
    }

    private static FileBytes Open(string path, FileMode mode, FileAccess access, FileShare share)
    {
        // Opening a pipe may wait for its other end for ever.
        if (FileKinds.Of(path) is FileKind.Pipe or FileKind.Other)
        {
            throw new IOException($"'{path}' is neither a file nor a block device.");
        }

        var handle = File.OpenHandle(path, mode, access, share, FileOptions.Asynchronous);
        try
        {
            return new FileBytes(path, handle);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    private async ValueTask CopyByBufferAsync(
        long offset, FileBytes target, long targetOffset, long count, CancellationToken cancellationToken)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(ZeroChunkBytes);
        try
        {
            while (count > 0)
            {
                var piece = buffer.AsMemory(0, (int)Math.Min(count, ZeroChunkBytes));
                if (await ReadAsync(offset, piece, cancellationToken).ConfigureAwait(false) < piece.Length)
                {
                    throw new EndOfStreamException($"{Path} ends before byte {offset + count}.");
                }

                await target.WriteAsync(targetOffset, piece, cancellationToken).ConfigureAwait(false);
                offset += piece.Length;
                targetOffset += piece.Length;
                count -= piece.Length;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private async ValueTask WriteZeroesAsync(long offset, long end, CancellationToken cancellationToken)
    {
        while (offset < end)
        {
            var chunk = (int)Math.Min(ZeroChunkBytes, end - offset);
            await WriteAsync(offset, Zeroes.AsMemory(0, chunk), cancellationToken).ConfigureAwait(false);
            offset += chunk;
        }
    }

    /// <summary>Notes that the file has become longer, by a write of another handle too.</summary>
    internal void Grow(long end)
    {
        var seen = Length;
        while (!IsBlockDevice && end > seen)
        {
            var now = Interlocked.CompareExchange(ref length, end, seen);
            if (now == seen)
            {
                return;
            }

            seen = now;
        }
    }
}
