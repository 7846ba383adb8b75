using System.Buffers.Binary;
using System.Diagnostics;
using System.Net.Sockets;
using System.Text;

namespace Registry.Bench;

/// <summary>The start of a disk, read over NBD.</summary>
internal static class NbdFirstBlock
{
    private const ulong OptionMagic = 0x49484156454F5054;
    private const uint RequestMagic = 0x25609513;
    private const int FlagsFixedNoZeroes = 3;

    /// <summary>Connects, chooses an export and reads its first 4 KiB.</summary>
    /// <returns>Seconds from before the connection to after the last byte.</returns>
    public static double Read(int port, string export)
    {
        var began = Stopwatch.GetTimestamp();
        using var socket = new TcpClient { NoDelay = true };
        socket.Connect("127.0.0.1", port);
        var stream = socket.GetStream();
        Take(stream, 18);
        var name = Encoding.UTF8.GetBytes(export);
        var choice = new byte[4 + 8 + 4 + 4 + name.Length];
        BinaryPrimitives.WriteUInt32BigEndian(choice, FlagsFixedNoZeroes);
        BinaryPrimitives.WriteUInt64BigEndian(choice.AsSpan(4), OptionMagic);
        BinaryPrimitives.WriteUInt32BigEndian(choice.AsSpan(12), 1);
        BinaryPrimitives.WriteInt32BigEndian(choice.AsSpan(16), name.Length);
        name.CopyTo(choice, 20);
        stream.Write(choice);
        Take(stream, 10);
        var read = new byte[28];
        BinaryPrimitives.WriteUInt32BigEndian(read, RequestMagic);
        BinaryPrimitives.WriteUInt32BigEndian(read.AsSpan(24), 4096);
        stream.Write(read);
        var head = Take(stream, 16);
        if (BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(4)) is not 0 and var error)
        {
            throw new InvalidOperationException($"NBD error {error}.");
        }

        Take(stream, 4096);
        return Stopwatch.GetElapsedTime(began).TotalSeconds;
    }

    private static byte[] Take(NetworkStream stream, int length)
    {
        var bytes = new byte[length];
        stream.ReadExactly(bytes);
        return bytes;
    }
}
