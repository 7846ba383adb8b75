using System.Buffers;
using Registry.Engine.Bytes;
using Registry.Engine.Crypto;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <summary>An image's content under the legacy encryption, addressed by guest offset: sectors are numbered by the
/// disk, so the place in the file does not say how to decrypt it.</summary>
/// <param name="map">Lists where the image itself stores a guest range.</param>
/// <param name="virtualSize">Bytes of the disk.</param>
/// <param name="stored">The encrypted bytes.</param>
/// <param name="cipher">Their cipher.</param>
internal sealed class GuestDecryptedSource(
    Func<long, long, CancellationToken, IAsyncEnumerable<Extent>> map, long virtualSize, IByteSource stored,
    SectorCipher cipher) : IByteSource
{
    private const int Sector = SectorCipher.SectorBytes;

    /// <inheritdoc/>
    public long Length => virtualSize;

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
        var wide = ArrayPool<byte>.Shared.Rent(padded);
        try
        {
            await foreach (var extent in map(start, padded, cancellationToken).ConfigureAwait(false))
            {
                var target = wide.AsMemory((int)(extent.Start - start), (int)extent.Length);
                if (extent.Kind != ExtentKind.Data)
                {
                    target.Span.Clear();
                    continue;
                }

                var read = await stored.ReadAsync(extent.Offset, target, cancellationToken).ConfigureAwait(false);
                target.Span[read..].Clear(); // the file may end inside its last cluster
                cipher.Decrypt(extent.Start / Sector, target.Span);
            }

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
}
