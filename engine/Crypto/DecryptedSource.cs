using System.Buffers;
using Registry.Engine.Bytes;

namespace Registry.Engine.Crypto;

/// <summary>Encrypted bytes, read as what they say: every sector's number is its place in the file.</summary>
/// <remarks>Holes are not reported: what was never written does not decrypt to zeroes. Disposing leaves the stored
/// bytes open.</remarks>
/// <param name="stored">The encrypted bytes.</param>
/// <param name="cipher">Their cipher.</param>
internal sealed class DecryptedSource(IByteSource stored, SectorCipher cipher) : IByteSource
{
    private const int Sector = SectorCipher.SectorBytes;

    /// <inheritdoc/>
    public long Length => stored.Length;

    /// <inheritdoc/>
    public async ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var length = (int)Math.Clamp(Length - offset, 0, buffer.Length);
        if (length == 0)
        {
            return 0;
        }

        var start = offset & ~(Sector - 1L);
        var padded = (int)(((offset + length + Sector - 1) & ~(Sector - 1L)) - start);
        if (padded == length)
        {
            await ReadSectorsAsync(start, buffer[..length], cancellationToken).ConfigureAwait(false);
            return length;
        }

        var wide = ArrayPool<byte>.Shared.Rent(padded);
        try
        {
            await ReadSectorsAsync(start, wide.AsMemory(0, padded), cancellationToken).ConfigureAwait(false);
            wide.AsSpan((int)(offset - start), length).CopyTo(buffer.Span);
            return length;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(wide, clearArray: true);
        }
    }

    /// <inheritdoc/>
    public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
        new(new ByteRun(Length - offset, IsHole: false));

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private async ValueTask ReadSectorsAsync(long start, Memory<byte> sectors, CancellationToken cancellationToken)
    {
        var read = await stored.ReadAsync(start, sectors, cancellationToken).ConfigureAwait(false);
        sectors.Span[read..].Clear(); // the file may end inside its last sector
        cipher.Decrypt(start / Sector, sectors.Span);
    }
}
