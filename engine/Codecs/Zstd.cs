using ZstdSharp.Unsafe;

namespace Registry.Engine.Codecs;

/// <summary>zstd clusters: one or more frames that give exactly one cluster.</summary>
internal static class Zstd
{
    /// <summary>Largest window a frame may ask for: nothing larger than a cluster is ever needed.</summary>
    private const ulong MaxWindowBytes = 8 << 20;

    /// <summary>Comes within 2 % of the size that QEMU's level 3 gives, in two thirds of the time.</summary>
    private const int Level = 2;

    [ThreadStatic]
    private static Decoder? decoder;

    [ThreadStatic]
    private static Encoder? encoder;

    /// <summary>One or more whole frames must give exactly one cluster, as QEMU requires.</summary>
    public static unsafe bool TryDecode(ReadOnlySpan<byte> stored, Span<byte> guest)
    {
        var context = decoder ??= new Decoder();
        fixed (byte* source = stored, target = guest)
        {
            var read = 0;
            var written = 0;
            while (written < guest.Length)
            {
                var left = (nuint)(stored.Length - read);
                ZSTD_frameHeader header;
                if (Methods.ZSTD_getFrameHeader(&header, source + read, left) != 0
                    || (header.frameType == ZSTD_frameType_e.ZSTD_frame && header.windowSize > MaxWindowBytes))
                {
                    return false;
                }

                // One frame at a time: the bytes after the last frame belong to someone else.
                var frame = Methods.ZSTD_findFrameCompressedSize(source + read, left);
                if (Methods.ZSTD_isError(frame))
                {
                    return false;
                }

                var produced = Methods.ZSTD_decompressDCtx(
                    context.Pointer, target + written, (nuint)(guest.Length - written), source + read, frame);
                if (Methods.ZSTD_isError(produced))
                {
                    return false;
                }

                read += (int)frame;
                written += (int)produced;
            }

            return true;
        }
    }

    /// <summary>Compresses into one frame; 0 when it does not fit.</summary>
    public static unsafe int Encode(ReadOnlySpan<byte> guest, Span<byte> stored)
    {
        var context = encoder ??= new Encoder();
        fixed (byte* source = guest, target = stored)
        {
            var length = Methods.ZSTD_compressCCtx(
                context.Pointer, target, (nuint)stored.Length, source, (nuint)guest.Length, Level);
            return Methods.ZSTD_isError(length) ? 0 : (int)length;
        }
    }

    private sealed unsafe class Decoder
    {
        public Decoder() => Pointer = Methods.ZSTD_createDCtx();

        ~Decoder() => Methods.ZSTD_freeDCtx(Pointer);

        public ZSTD_DCtx_s* Pointer { get; }
    }

    private sealed unsafe class Encoder
    {
        public Encoder() => Pointer = Methods.ZSTD_createCCtx();

        ~Encoder() => Methods.ZSTD_freeCCtx(Pointer);

        public ZSTD_CCtx_s* Pointer { get; }
    }
}
