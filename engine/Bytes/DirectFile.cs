using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Registry.Engine.Bytes;

/// <summary>A local file or block device that is written past the page cache (O_DIRECT), for what is written once and
/// read by another: an instance's disk.</summary>
/// <remarks>The copy into the cache costs more processor time than everything else that makes a disk, and drives out
/// what the host has a use for. Writes that follow each other are gathered and done behind the caller; edges that are not
/// whole pages go through the cache, and so does everything where the file system has no such writes. Not for several
/// callers at once.</remarks>
public sealed partial class DirectFile : IByteFile
{
    /// <summary>What addresses, offsets and lengths are multiples of: a page, and no device asks for more.</summary>
    private const int PageBytes = 4096;

    /// <summary>Less is not worth a trip to the device: a file system does one write into a hole at a time.</summary>
    private const int LeastBytes = 256 << 10;

    private const int BuffersMax = 4;

    private readonly FileBytes file;
    private readonly SafeFileHandle? direct;
    private readonly Stack<DirectBuffer> idle = new();
    private readonly Queue<(DirectBuffer Buffer, Task Done)> sent = new();
    private DirectBuffer? open;
    private int buffers;
    private volatile bool isRefused;

    /// <summary>Takes a file over, and closes it in the end.</summary>
    /// <param name="file">Opened to write.</param>
    public DirectFile(FileBytes file)
        : this(file, Reopen(file))
    {
    }

    /// <summary>The same with a given handle for the direct writes.</summary>
    internal DirectFile(FileBytes file, SafeFileHandle? direct) => (this.file, this.direct) = (file, direct);

    /// <inheritdoc/>
    public long Length => Math.Max(file.Length, open?.End ?? 0);

    /// <summary>Whether writes go past the cache, as far as is known.</summary>
    public bool IsDirect => direct is not null && !isRefused;

    /// <inheritdoc/>
    public async ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        await DrainAsync().ConfigureAwait(false);
        return await file.ReadAsync(offset, buffer, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken)
    {
        await DrainAsync().ConfigureAwait(false);
        return await file.RunAsync(offset, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    /// <remarks>The bytes are the caller's again when it returns. A failure may be told by a later call: no later than
    /// by <see cref="FlushAsync"/>.</remarks>
    public async ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        cancellationToken.ThrowIfCancellationRequested();
        if (!IsDirect && open is null && sent.Count == 0)
        {
            await file.WriteAsync(offset, data, cancellationToken).ConfigureAwait(false);
            return;
        }

        while (data.Length > 0)
        {
            if (open is not null && (open.End != offset || open.IsFull))
            {
                Send();
            }

            open ??= await TakeAsync(offset, data.Length).ConfigureAwait(false);
            var taken = open.Append(data.Span);
            offset += taken;
            data = data[taken..];
        }
    }

    /// <inheritdoc/>
    public async ValueTask ZeroAsync(long offset, long length, CancellationToken cancellationToken)
    {
        await DrainAsync().ConfigureAwait(false);
        await file.ZeroAsync(offset, length, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask SetLengthAsync(long length, CancellationToken cancellationToken)
    {
        await DrainAsync().ConfigureAwait(false);
        await file.SetLengthAsync(length, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        await DrainAsync().ConfigureAwait(false);
        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    /// <remarks>What was written and not flushed may be lost.</remarks>
    public async ValueTask DisposeAsync()
    {
        open = null;
        while (sent.TryDequeue(out var one))
        {
            await one.Done.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        direct?.Dispose();
        await file.DisposeAsync().ConfigureAwait(false);
    }

    private void Send()
    {
        var buffer = open!;
        open = null;
        file.Grow(buffer.End);
        sent.Enqueue((buffer, Task.Run(() => WriteOutAsync(buffer))));
    }

    /// <summary>A buffer for bytes that begin at an offset; what is on its way to the same place has arrived.</summary>
    private async ValueTask<DirectBuffer> TakeAsync(long offset, int length)
    {
        while (idle.Count == 0 && buffers == BuffersMax)
        {
            await OldestAsync().ConfigureAwait(false);
        }

        var end = offset + Math.Max(length, DirectBuffer.Bytes);
        while (sent.Any(s => s.Buffer.Start < end && offset < s.Buffer.End))
        {
            await OldestAsync().ConfigureAwait(false);
        }

        if (!idle.TryPop(out var buffer))
        {
            buffer = new DirectBuffer(PageBytes);
            buffers++;
        }

        buffer.Begin(offset);
        return buffer;
    }

    private async ValueTask DrainAsync()
    {
        if (open is not null)
        {
            Send();
        }

        while (sent.Count > 0)
        {
            await OldestAsync().ConfigureAwait(false);
        }
    }

    private async ValueTask OldestAsync()
    {
        var (buffer, done) = sent.Peek();
        await done.ConfigureAwait(false); // a failure stays, for every later call
        sent.Dequeue();
        idle.Push(buffer);
    }

    private async Task WriteOutAsync(DirectBuffer buffer)
    {
        var first = (buffer.Start + PageBytes - 1) & -PageBytes;
        var last = buffer.End & -PageBytes;
        if (last - first < LeastBytes || !TryWriteDirect(first, buffer.Between(first, last)))
        {
            await file.WriteAsync(buffer.Start, buffer.Between(buffer.Start, buffer.End), CancellationToken.None)
                .ConfigureAwait(false);
            return;
        }

        await file.WriteAsync(buffer.Start, buffer.Between(buffer.Start, first), CancellationToken.None)
            .ConfigureAwait(false);
        await file.WriteAsync(last, buffer.Between(last, buffer.End), CancellationToken.None).ConfigureAwait(false);
    }

    private bool TryWriteDirect(long offset, ReadOnlyMemory<byte> data)
    {
        if (isRefused)
        {
            return false;
        }

        try
        {
            RandomAccess.Write(direct!, data.Span, offset);
            return true;
        }
        catch (IOException e) when (e.HResult == FileBytes.InvalidArgument)
        {
            isRefused = true; // it is written again, through the cache
            return false;
        }
        catch (IOException e)
        {
            throw new IOException($"{e.Message} : '{file.Path}'", e.HResult); // the handle does not know its path
        }
    }

    /// <summary>The same file once more, for direct writes; null where there are none.</summary>
    private static SafeFileHandle? Reopen(FileBytes file)
    {
        const int writeOnly = 1;
        const int closeOnExec = 0x80000;
        var flag = RuntimeInformation.ProcessArchitecture switch
        {
            Architecture.X64 => 0x4000,
            Architecture.Arm64 => 0x10000,
            _ => 0,
        };
        if (flag == 0 || !OperatingSystem.IsLinux())
        {
            return null;
        }

        // By the descriptor: the path may be another file's by now.
        var opened = Open($"/proc/self/fd/{file.Descriptor}", writeOnly | closeOnExec | flag);
        return opened < 0 ? null : new SafeFileHandle(opened, ownsHandle: true);
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);
}
