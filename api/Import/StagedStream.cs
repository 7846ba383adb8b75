using Registry.Api.Stores;
using Registry.Storage.Domain;
using Registry.Storage.Memory;

namespace Registry.Api.Import;

/// <summary>Staged bytes, or a part of them, verified, as a stream for decompressors.</summary>
/// <param name="blob">The bytes.</param>
/// <param name="start">Where the part begins.</param>
/// <param name="length">Bytes of the part.</param>
/// <param name="clock">The clock of <see cref="Waited"/>.</param>
/// <param name="memory">Charged with what <see cref="LoadAsync"/> keeps, until this is disposed.</param>
internal sealed class StagedStream(
    StoredBlob blob, long start, long length, TimeProvider clock, MemoryBudget memory) : Stream
{
    private Exception? _failure;
    private long _loaded;
    private long _position;
    private byte[] _end = [];

    /// <summary>Bytes read since <see cref="Restart"/>, those read again included.</summary>
    public long Consumed { get; private set; }

    /// <summary>Time spent waiting for the store.</summary>
    public TimeSpan Waited { get; private set; }

    /// <summary>Whether an exception that came out of a decompressor is about the bytes: neither the store failed, nor
    /// was the work cancelled, nor is there no memory.</summary>
    public bool IsOfTheData(Exception exception) =>
        _failure is null && exception is not (OperationCanceledException or RegistryException or OutOfMemoryException);

    /// <summary>Called before each read; may throw to end the work.</summary>
    public Action? Reading { get; set; }

    /// <summary>Reads all of it into memory, once, where decompressors work an order of magnitude faster than byte by byte across
    /// asynchronous calls.</summary>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>A stream whose reads never wait; each is announced by <see cref="Reading"/>.</returns>
    public async Task<Stream> LoadAsync(CancellationToken cancellationToken)
    {
        _loaded = Length;
        memory.Charge(_loaded);
        var bytes = new byte[_loaded];
        Seek(0, SeekOrigin.Begin);
        await this.ReadExactlyAsync(bytes, cancellationToken);
        return new Loaded(this, bytes);
    }

    /// <summary>Goes back to the beginning, and counts from there: what was read so far only served to look at the
    /// structure.</summary>
    public void Restart() => (_position, Consumed) = (0, 0);

    /// <summary>Reads the end of the bytes ahead: there, and only there, they can be read synchronously.</summary>
    /// <param name="length">Bytes; cut to those that there are.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task LoadEndAsync(int length, CancellationToken cancellationToken)
    {
        var end = new byte[Math.Min(length, Length)];
        await ReadBlobAsync(Length - end.Length, end, cancellationToken);
        _end = end;
    }

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanSeek => true;

    /// <inheritdoc/>
    public override bool CanWrite => false;

    /// <inheritdoc/>
    public override long Length => length;

    /// <inheritdoc/>
    public override long Position
    {
        get => _position;
        set => Seek(value, SeekOrigin.Begin);
    }

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var wanted = (int)Math.Min(buffer.Length, Length - _position);
        if (wanted <= 0)
        {
            return 0;
        }

        Reading?.Invoke();
        var started = clock.GetTimestamp();
        var read = await ReadBlobAsync(_position, buffer[..wanted], cancellationToken);
        Waited += clock.GetElapsedTime(started);
        _position += read;
        Consumed += read;
        return read;
    }

    /// <inheritdoc/>
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin)
    {
        var target = checked(offset + origin switch
        {
            SeekOrigin.Begin => 0,
            SeekOrigin.Current => _position,
            _ => Length,
        });
        return _position = target >= 0 ? target : throw new InvalidDataException("it points before its beginning");
    }

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count)
    {
        var start = _position - (Length - _end.Length);
        if (start < 0)
        {
            throw new InvalidDataException("its directory is too long");
        }

        var read = (int)Math.Min(count, _end.Length - start);
        _end.AsSpan((int)start, read).CopyTo(buffer.AsSpan(offset));
        _position += read;
        return read;
    }

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        memory.Return(Interlocked.Exchange(ref _loaded, 0));
        base.Dispose(disposing);
    }

    private async ValueTask<int> ReadBlobAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        try
        {
            return await blob.ReadAsync(start + offset, buffer, cancellationToken);
        }
        catch (Exception e)
        {
            _failure = e;
            throw;
        }
    }

    private sealed class Loaded(StagedStream staged, byte[] bytes) : MemoryStream(bytes, writable: false)
    {
        public override int Read(byte[] buffer, int offset, int count)
        {
            staged.Reading?.Invoke();
            return base.Read(buffer, offset, count);
        }
    }
}
