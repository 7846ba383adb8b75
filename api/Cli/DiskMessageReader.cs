using Google.Protobuf;
using Grpc.Core;
using Registry.Api.Grpc;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>Takes the messages of a disk out of a stream in which each is behind its length. Content is not copied.</summary>
/// <remarks>The stream holds the caller's thread: a thread for each piece that arrives costs more than the piece.</remarks>
internal sealed class DiskMessageReader(Stream stream)
{
    private const int BufferBytes = 512 << 10;
    private const int OtherBytesMax = 64 << 10;

    private static readonly uint DataTag =
        WireFormat.MakeTag(DiskResponse.DataFieldNumber, WireFormat.WireType.LengthDelimited);

    private static readonly uint OffsetTag = WireFormat.MakeTag(DiskData.OffsetFieldNumber, WireFormat.WireType.Varint);

    private static readonly uint ContentTag =
        WireFormat.MakeTag(DiskData.DataFieldNumber, WireFormat.WireType.LengthDelimited);

    private readonly byte[] _buffer = new byte[BufferBytes];
    private int _start;
    private int _end;
    private int _head;
    private long _offset;
    private int _content;

    /// <summary>Gets the next message.</summary>
    /// <returns>Its content is gone when the next is asked for; null where the stream ends.</returns>
    /// <exception cref="RpcException">The registry said that it failed, or the connection broke.</exception>
    public DiskResponse? Next()
    {
        if (_content == 0)
        {
            if (!Fill(1))
            {
                return null;
            }

            if (Head() is { } whole)
            {
                return whole.Failure is { } failure
                    ? throw GrpcErrors.Failure((StatusCode)failure.Status, failure.Error)
                    : whole;
            }
        }

        // Whole messages, so that pieces begin and end where the registry cut them: mostly on whole pages.
        var length = Math.Min(_content, BufferBytes);
        if (!Fill(length))
        {
            throw Cut(null);
        }

        var data = new DiskData
        {
            Offset = _offset,
            Data = UnsafeByteOperations.UnsafeWrap(_buffer.AsMemory(_start, length)),
        };
        _start += length;
        _offset += length;
        _content -= length;
        return new DiskResponse { Data = data };
    }

    // Content has a head, and what is not content is short.
    private DiskResponse? Head()
    {
        var length = (int)Varint();
        if (length <= 0)
        {
            throw Strange();
        }

        if (Fill(1) && _buffer[_start] == DataTag)
        {
            _head = 0;
            Varint();
            Varint();
            var tag = Varint();
            _offset = 0;
            if (tag == OffsetTag)
            {
                _offset = (long)Varint();
                tag = Varint();
            }

            _content = tag == ContentTag ? (int)Varint() : 0;
            return _content > 0 && _head + _content == length ? null : throw Strange();
        }

        if (length > OtherBytesMax)
        {
            throw Strange();
        }

        if (!Fill(length))
        {
            throw Cut(null);
        }

        try
        {
            return DiskResponse.Parser.ParseFrom(_buffer, _start, length);
        }
        catch (InvalidProtocolBufferException)
        {
            throw Strange();
        }
        finally
        {
            _start += length;
        }
    }

    private ulong Varint()
    {
        var value = 0UL;
        for (var shift = 0; shift < 64; shift += 7)
        {
            if (!Fill(1))
            {
                throw Cut(null);
            }

            var one = _buffer[_start++];
            _head++;
            value |= (ulong)(one & 0x7f) << shift;
            if (one < 0x80)
            {
                return value;
            }
        }

        throw Strange();
    }

    /// <summary>Reads until there are so many bytes; false where the stream ends before.</summary>
    private bool Fill(int wanted)
    {
        if (_end - _start >= wanted)
        {
            return true;
        }

        if (_start + wanted > BufferBytes)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
        }

        try
        {
            while (_end - _start < wanted)
            {
                var read = stream.Read(_buffer.AsSpan(_end));
                if (read == 0)
                {
                    return false;
                }

                _end += read;
            }

            return true;
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            throw Cut(e);
        }
    }

    private static RpcException Cut(Exception? cause) =>
        new(new Status(StatusCode.Unavailable, "The registry ended the disk before it was complete.", cause));

    private static RpcException Strange() => new(new Status(StatusCode.Internal, "What the registry sends is no disk."));
}
