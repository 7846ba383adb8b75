using Registry.Engine.Codecs;

namespace Registry.Engine.Disks;

/// <summary>Decodes and encodes one compressed cluster. Safe to use from several threads at once; nothing is allocated
/// once a thread has done its first cluster.</summary>
internal static class ClusterCodec
{
    /// <summary>Fills <paramref name="guest"/> from compressed bytes; what follows the stream is ignored.</summary>
    /// <param name="compression">How it is compressed.</param>
    /// <param name="stored">The compressed bytes, with any number of foreign bytes after them.</param>
    /// <param name="guest">Receives exactly one cluster.</param>
    /// <param name="needed">Bytes of the cluster that lie in the disk: a zlib stream may end there, and the rest is
    /// zeroes.</param>
    /// <exception cref="ImageFormatException"><see cref="FormatError.BadCompressedData"/>.</exception>
    public static void Decode(
        ClusterCompression compression, ReadOnlySpan<byte> stored, Span<byte> guest, int needed)
    {
        var whole = compression switch
        {
            ClusterCompression.Deflate => LibDeflate.TryInflate(stored, guest) || ZlibDeflate.TryInflate(stored, guest),
            ClusterCompression.Zstd => Zstd.TryDecode(stored, guest),
            ClusterCompression.Zlib => ZlibDeflate.InflateZlib(stored, guest) is var length && length >= needed,
            _ => false,
        };
        if (!whole)
        {
            throw new ImageFormatException(
                FormatError.BadCompressedData, "A compressed cluster does not decode to a whole cluster.");
        }
    }

    /// <summary>Compresses one cluster.</summary>
    /// <param name="compression">How.</param>
    /// <param name="guest">The cluster.</param>
    /// <param name="stored">Room for the result, less than the cluster where only a gain is wanted.</param>
    /// <returns>Bytes of the result; 0 when it does not fit.</returns>
    public static int Encode(ClusterCompression compression, ReadOnlySpan<byte> guest, Span<byte> stored) =>
        compression switch
        {
            ClusterCompression.Deflate => ZlibDeflate.Deflate(guest, stored),
            ClusterCompression.Zstd => Zstd.Encode(guest, stored),
            _ => throw new ArgumentOutOfRangeException(nameof(compression)),
        };
}
