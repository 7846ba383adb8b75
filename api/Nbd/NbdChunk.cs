using System.Buffers;

namespace Registry.Api.Nbd;

/// <summary>64 KiB of a disk, at a multiple of that: being read, or read and verified. Goes back to the pool with its
/// last user.</summary>
internal sealed class NbdChunk
{
    /// <summary>Bytes of a chunk; fewer of the disk's last one count.</summary>
    public const int Bytes = 64 << 10;

    /// <summary>Bytes of a piece, of which a chunk knows whether it is zero.</summary>
    public const int PieceBytes = 4 << 10;

    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private byte[]? _bytes;
    private int _stored;
    private int _users = 1;

    /// <summary>Which chunk of its disk it is.</summary>
    public required long Number { get; init; }

    /// <summary>Ends when the chunk is whole; fails when it could not be read.</summary>
    public Task Ready => _ready.Task;

    /// <summary>Whether something has to be kept for it: it is not all zeroes.</summary>
    public bool HasBytes => _bytes is not null;

    /// <summary>The content, where <see cref="IsZero"/> says that there is some.</summary>
    public ReadOnlyMemory<byte> Content => _bytes.AsMemory(0, Bytes);

    /// <summary>Whether a piece is known to be zeroes.</summary>
    /// <param name="piece">0 to 15.</param>
    public bool IsZero(int piece) => (_stored & (1 << piece)) == 0;

    /// <summary>Adds content; what is never added is zeroes.</summary>
    /// <param name="offset">Where in the chunk.</param>
    /// <param name="content">At least one byte.</param>
    public void Add(int offset, ReadOnlySpan<byte> content) => content.CopyTo(Rent(offset, content.Length).Span);

    /// <summary>Room for content to be put in.</summary>
    /// <param name="offset">Where in the chunk.</param>
    /// <param name="length">Bytes, at least one.</param>
    public Memory<byte> Rent(int offset, int length)
    {
        if (_bytes is null)
        {
            _bytes = ArrayPool<byte>.Shared.Rent(Bytes);
            _bytes.AsSpan(0, Bytes).Clear();
        }

        var (first, last) = (offset / PieceBytes, (offset + length - 1) / PieceBytes);
        _stored |= (2 << last) - (1 << first);
        return _bytes.AsMemory(offset, length);
    }

    /// <summary>Says that the chunk is whole.</summary>
    public void Complete() => _ready.TrySetResult();

    /// <summary>Says that it could not be read.</summary>
    public void Fail(Exception exception)
    {
        _ready.TrySetException(exception);
        _ = _ready.Task.Exception; // perhaps nobody waits for it
    }

    /// <summary>Counts one more user.</summary>
    public void AddUser() => Interlocked.Increment(ref _users);

    /// <summary>Counts one user less.</summary>
    public void RemoveUser()
    {
        if (Interlocked.Decrement(ref _users) == 0 && Interlocked.Exchange(ref _bytes, null) is { } rented)
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }
}
