using System.Runtime.InteropServices;

namespace Registry.Engine.Codecs;

/// <summary>Raw deflate by the zlib that the runtime brings along, called below its streams, which make garbage for
/// every cluster and cannot choose a window.</summary>
internal static unsafe partial class ZlibDeflate
{
    private const string Library = "libSystem.IO.Compression.Native";

    /// <summary>Any raw deflate stream: no header, window of up to 32 KiB.</summary>
    private const int AnyWindow = -15;

    /// <summary>Any zlib stream: header, window of up to 32 KiB, checksum.</summary>
    private const int WithHeader = 15;

    /// <summary>What QEMU writes and asks its own inflater for; a reader that holds 4 KiB only can read it.</summary>
    private const int QemuWindow = -12;

    /// <summary>Comes within 2 % of the size that QEMU's zlib gives, in half the time.</summary>
    private const int Level = 6;

    private const int MaxMemory = 9;
    private const int DeflateMethod = 8;
    private const int DefaultStrategy = 0;
    private const int NoFlush = 0;
    private const int Finish = 4;
    private const int Ok = 0;
    private const int StreamEnd = 1;
    private const int NoProgress = -5;

    [ThreadStatic]
    private static Inflater? inflater;

    /// <summary>Inflates until the target is full; whatever follows is ignored.</summary>
    /// <returns>Whether it became full.</returns>
    public static bool TryInflate(ReadOnlySpan<byte> stored, Span<byte> guest) =>
        (inflater ??= new Inflater()).TryInflate(stored, guest);

    /// <summary>Inflates a whole zlib stream, checksum and all; whatever follows it is ignored.</summary>
    /// <returns>Bytes that came out, the rest of the target is zeroes; -1 when the stream is broken, does not end, or
    /// holds more than the target.</returns>
    public static int InflateZlib(ReadOnlySpan<byte> stored, Span<byte> guest) =>
        (inflater ??= new Inflater()).InflateZlib(stored, guest);

    /// <summary>Compresses; 0 when it does not fit.</summary>
    public static int Deflate(ReadOnlySpan<byte> guest, Span<byte> stored)
    {
        // There is no call that resets a compressor, and making one is a few microseconds.
        var stream = default(NativeStream);
        Require(DeflateInit2(&stream, Level, DeflateMethod, QemuWindow, MaxMemory, DefaultStrategy));
        fixed (byte* source = guest, target = stored)
        {
            stream.NextIn = source;
            stream.AvailableIn = (uint)guest.Length;
            stream.NextOut = target;
            stream.AvailableOut = (uint)stored.Length;
            var result = Deflate(&stream, Finish);
            var length = stored.Length - (int)stream.AvailableOut;
            _ = DeflateEnd(&stream);
            return result == StreamEnd ? length : 0;
        }
    }

    private static void Require(int result)
    {
        if (result != Ok)
        {
            throw new InsufficientMemoryException($"zlib could not be set up: {result}.");
        }
    }

    [LibraryImport(Library, EntryPoint = "CompressionNative_DeflateInit2_")]
    private static partial int DeflateInit2(
        NativeStream* stream, int level, int method, int windowBits, int memoryLevel, int strategy);

    [LibraryImport(Library, EntryPoint = "CompressionNative_Deflate")]
    private static partial int Deflate(NativeStream* stream, int flush);

    [LibraryImport(Library, EntryPoint = "CompressionNative_DeflateEnd")]
    private static partial int DeflateEnd(NativeStream* stream);

    [LibraryImport(Library, EntryPoint = "CompressionNative_InflateInit2_")]
    private static partial int InflateInit2(NativeStream* stream, int windowBits);

    [LibraryImport(Library, EntryPoint = "CompressionNative_Inflate")]
    private static partial int Inflate(NativeStream* stream, int flush);

    [LibraryImport(Library, EntryPoint = "CompressionNative_InflateReset2_")]
    private static partial int InflateReset2(NativeStream* stream, int windowBits);

    [LibraryImport(Library, EntryPoint = "CompressionNative_InflateEnd")]
    private static partial int InflateEnd(NativeStream* stream);

    /// <summary>The runtime's own view of zlib's stream.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct NativeStream
    {
        public byte* NextIn;
        public byte* NextOut;
        public byte* Message;
        public void* State;
        public uint AvailableIn;
        public uint AvailableOut;
    }

    /// <summary>A decoder that is used again and again, by one thread.</summary>
    private sealed class Inflater
    {
        // Native memory, because zlib keeps a pointer back to its stream.
        private readonly NativeStream* stream = (NativeStream*)NativeMemory.AllocZeroed((nuint)sizeof(NativeStream));

        public Inflater() => Require(InflateInit2(stream, AnyWindow));

        ~Inflater()
        {
            _ = InflateEnd(stream);
            NativeMemory.Free(stream);
        }

        public bool TryInflate(ReadOnlySpan<byte> stored, Span<byte> guest) =>
            Run(AnyWindow, NoFlush, stored, guest) is Ok or StreamEnd or NoProgress && stream->AvailableOut == 0;

        public int InflateZlib(ReadOnlySpan<byte> stored, Span<byte> guest)
        {
            if (Run(WithHeader, Finish, stored, guest) != StreamEnd)
            {
                return -1;
            }

            var length = guest.Length - (int)stream->AvailableOut;
            guest[length..].Clear();
            return length;
        }

        private int Run(int window, int flush, ReadOnlySpan<byte> stored, Span<byte> guest)
        {
            Require(InflateReset2(stream, window));
            fixed (byte* source = stored, target = guest)
            {
                stream->NextIn = source;
                stream->AvailableIn = (uint)stored.Length;
                stream->NextOut = target;
                stream->AvailableOut = (uint)guest.Length;
                return Inflate(stream, flush);
            }
        }
    }
}
