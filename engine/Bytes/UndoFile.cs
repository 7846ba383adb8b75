namespace Registry.Engine.Bytes;

/// <summary>A file that can be made what it was: the bytes that a change overwrites are kept until it is final.</summary>
/// <remarks>For changes of metadata, which overwrite little of what was there and put the rest at the file's end. What is
/// kept is in memory, at most <see cref="MaxKeptBytes"/>; zeroes take no room. Not for several callers at the same
/// time.</remarks>
/// <param name="file">The file; stays the caller's.</param>
public sealed class UndoFile(IByteFile file) : IByteFile
{
    /// <summary>Bytes that are kept at most.</summary>
    public const long MaxKeptBytes = 256L << 20;

    private const int PageBytes = 64 << 10;

    private readonly long originalLength = file.Length;
    private readonly Dictionary<long, byte[]?> kept = [];
    private long keptBytes;
    private bool isUndone;
    private bool isTooMuch;
    private bool isForgotten;

    /// <summary>The file itself.</summary>
    public IByteFile File => file;

    /// <inheritdoc/>
    public long Length => file.Length;

    /// <summary>Makes the file what it was, and drops every later change.</summary>
    /// <exception cref="IOException">More was overwritten than is kept, or writing failed.</exception>
    public async ValueTask UndoAsync()
    {
        if (isForgotten)
        {
            return;
        }

        isUndone = true;
        if (isTooMuch)
        {
            throw new IOException($"more than {MaxKeptBytes >> 20} MiB had been overwritten");
        }

        foreach (var (page, bytes) in kept)
        {
            var offset = page * PageBytes;
            var length = Math.Min(PageBytes, originalLength - offset);
            if (bytes is null)
            {
                await file.ZeroAsync(offset, length, CancellationToken.None).ConfigureAwait(false);
            }
            else
            {
                await file.WriteAsync(offset, bytes, CancellationToken.None).ConfigureAwait(false);
            }
        }

        await file.SetLengthAsync(originalLength, CancellationToken.None).ConfigureAwait(false);
        await file.FlushAsync(CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>Keeps nothing from now on: the change cannot be undone.</summary>
    public void Forget() => isForgotten = true;

    /// <inheritdoc/>
    public ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        file.ReadAsync(offset, buffer, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
        file.RunAsync(offset, cancellationToken);

    /// <inheritdoc/>
    public async ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        if (!isUndone)
        {
            await KeepAsync(offset, data.Length, cancellationToken).ConfigureAwait(false);
            await file.WriteAsync(offset, data, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public async ValueTask ZeroAsync(long offset, long length, CancellationToken cancellationToken)
    {
        if (!isUndone)
        {
            await KeepAsync(offset, length, cancellationToken).ConfigureAwait(false);
            await file.ZeroAsync(offset, length, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public async ValueTask SetLengthAsync(long length, CancellationToken cancellationToken)
    {
        if (!isUndone)
        {
            await KeepAsync(length, originalLength - length, cancellationToken).ConfigureAwait(false);
            await file.SetLengthAsync(length, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public ValueTask FlushAsync(CancellationToken cancellationToken) => file.FlushAsync(cancellationToken);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private async ValueTask KeepAsync(long offset, long length, CancellationToken cancellationToken)
    {
        var end = Math.Min(offset + length, originalLength);
        if (isTooMuch || isForgotten)
        {
            kept.Clear();
            return;
        }

        for (var page = offset / PageBytes; page * PageBytes < end && !isTooMuch; page++)
        {
            if (!kept.ContainsKey(page))
            {
                var bytes = await ReadPageAsync(page * PageBytes, cancellationToken).ConfigureAwait(false);
                keptBytes += bytes?.Length ?? 0;
                isTooMuch = keptBytes > MaxKeptBytes;
                kept.Add(page, bytes);
            }
        }
    }

    /// <summary>Reads the bytes of a page; null where all are zero.</summary>
    private async ValueTask<byte[]?> ReadPageAsync(long offset, CancellationToken cancellationToken)
    {
        var length = (int)Math.Min(PageBytes, originalLength - offset);
        if (offset >= file.Length
            || (await file.RunAsync(offset, cancellationToken).ConfigureAwait(false) is { IsHole: true } run
                && run.Length >= length))
        {
            return null;
        }

        var bytes = new byte[length];
        await file.ReadAsync(offset, bytes, cancellationToken).ConfigureAwait(false);
        return bytes.AsSpan().ContainsAnyExcept((byte)0) ? bytes : null;
    }
}
