namespace Registry.Engine.Convert;

/// <summary>A run of guest bytes with its content. Dispose it when the content has been used.</summary>
public sealed class DiskPiece : IDisposable
{
    private PieceBuffer? buffer;

    internal DiskPiece(long offset, ReadOnlyMemory<byte> data, PieceBuffer buffer)
    {
        Offset = offset;
        Length = data.Length;
        Data = data;
        this.buffer = buffer;
        buffer.AddUser();
    }

    internal DiskPiece(long offset, long length)
    {
        Offset = offset;
        Length = length;
        IsZero = true;
    }

    /// <summary>First guest byte.</summary>
    public long Offset { get; }

    /// <summary>Guest bytes, at least 1; at most 4 MiB where there is content, any number of zeroes.</summary>
    public long Length { get; }

    /// <summary>The content, <see cref="Length"/> bytes; empty when <see cref="IsZero"/>. Not to be used after
    /// disposal.</summary>
    public ReadOnlyMemory<byte> Data { get; private set; }

    /// <summary>Whether the run is zeroes, known without reading.</summary>
    public bool IsZero { get; }

    /// <summary>Gives the buffer back.</summary>
    public void Dispose()
    {
        Data = default;
        Interlocked.Exchange(ref buffer, null)?.RemoveUser();
    }
}
