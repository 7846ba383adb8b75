namespace Registry.Storage.Blobs.S3;

/// <summary>Cuts one part of a blob into segments: fills one, and sends the full ones meanwhile.</summary>
/// <remarks>For one caller at a time. The first segment that cannot be sent fails every call after.</remarks>
/// <param name="pool">Memory.</param>
/// <param name="segmentBytes">Bytes of a segment.</param>
/// <param name="heldMax">Most segments in memory, the one that is filled included.</param>
/// <param name="isShared">Whether all but the first count among what uploads share.</param>
/// <param name="send">Sends a segment; may be asked for several at once.</param>
internal sealed class SegmentQueue(
    SegmentPool pool, int segmentBytes, int heldMax, bool isShared, Func<long, SegmentBuffer, Task> send)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<long, SegmentBuffer> _held = [];
    private readonly Dictionary<long, Task> _sending = [];
    private SegmentBuffer? _filling;
    private int _shared;

    /// <summary>Bytes of a segment.</summary>
    public int SegmentBytes => segmentBytes;

    /// <summary>Bytes appended so far.</summary>
    public long Length { get; private set; }

    /// <summary>Takes bytes; waits while as much is held as may be.</summary>
    /// <exception cref="IOException">A segment could not be sent.</exception>
    public async ValueTask AppendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        while (!bytes.IsEmpty)
        {
            if (_filling is null)
            {
                await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
                _filling = new SegmentBuffer(pool, segmentBytes);
                lock (_lock)
                {
                    _held.Add(Length / segmentBytes, _filling);
                }
            }

            int taken;
            lock (_lock)
            {
                taken = _filling.Append(bytes.Span);
            }

            bytes = bytes[taken..];
            Length += taken;
            if (_filling.IsFull)
            {
                StartSending();
            }
        }
    }

    /// <summary>Sends what is left and waits for all.</summary>
    /// <exception cref="IOException">A segment could not be sent.</exception>
    public async Task FlushAsync(CancellationToken cancellationToken)
    {
        if (_filling is not null)
        {
            StartSending();
        }

        while (_sending.Count > 0)
        {
            await EndOneAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Copies out what is still in memory.</summary>
    /// <returns>Bytes copied; 0 when the segment at the offset is in the store.</returns>
    public int ReadHeld(long offset, Span<byte> buffer)
    {
        lock (_lock)
        {
            return _held.TryGetValue(offset / segmentBytes, out var segment)
                ? segment.Read((int)(offset % segmentBytes), buffer)
                : 0;
        }
    }

    /// <summary>Waits until nothing is sent any more, and gives all memory back. Who sends must have been told to stop.
    /// </summary>
    public async Task CloseAsync()
    {
        await Task.WhenAll(_sending.Values).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _sending.Clear();
        lock (_lock)
        {
            foreach (var segment in _held.Values)
            {
                segment.Clear();
            }

            _held.Clear();
            for (; _shared > 0; _shared--)
            {
                pool.ReturnShared();
            }
        }

        _filling = null;
    }

    private void StartSending()
    {
        var number = (Length - 1) / segmentBytes;
        _sending.Add(number, SendAsync(number, _filling!));
        _filling = null;
    }

    private async Task SendAsync(long number, SegmentBuffer segment)
    {
        // Its checksum takes a while, in which the upload fills the next segment.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        await send(number, segment).ConfigureAwait(false);
        lock (_lock)
        {
            _held.Remove(number);
            segment.Clear();
            if (_shared > Math.Max(0, _held.Count - 1))
            {
                _shared--;
                pool.ReturnShared();
            }
        }
    }

    private async ValueTask MakeRoomAsync(CancellationToken cancellationToken)
    {
        foreach (var (number, task) in _sending.ToArray())
        {
            if (task.IsCompleted)
            {
                _sending.Remove(number);
                await task.ConfigureAwait(false);
            }
        }

        while (_sending.Count > 0 && (_sending.Count >= heldMax || !TakeShared()))
        {
            await EndOneAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task EndOneAsync(CancellationToken cancellationToken)
    {
        var ended = await Task.WhenAny(_sending.Values).WaitAsync(cancellationToken).ConfigureAwait(false);
        _sending.Remove(_sending.First(pair => pair.Value == ended).Key);
        await ended.ConfigureAwait(false);
    }

    // The first segment held is the upload's own; each beyond it is one of the shared.
    private bool TakeShared()
    {
        lock (_lock)
        {
            if (!isShared || _shared >= _held.Count)
            {
                return true;
            }

            if (!pool.TryTakeShared())
            {
                return false;
            }

            _shared++;
            return true;
        }
    }
}
