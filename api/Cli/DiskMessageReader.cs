using System.Buffers.Binary;
using Google.Protobuf;
using Grpc.Core;
using Registry.Api.Grpc;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>Reads the messages of a disk from a stream in which each follows its length, and checks their checksums. Content
/// is not copied.</summary>
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

    private const int ChecksumBytes = 1 + sizeof(ulong);

    private static readonly uint ChecksumTag =
        WireFormat.MakeTag(DiskResponse.ChecksumFieldNumber, WireFormat.WireType.Fixed64);

    private readonly byte[] _buffer = new byte[BufferBytes];
    private bool? _hasChecksums;
    private bool _hasChecksum;
    private int _start;
    private int _end;
    private int _head;
    private long _offset;
    private int _content;

    /// <summary>Gets the next message.</summary>
    /// <returns>Its content is gone when the next is asked for; null where the stream ends.</returns>
    /// <exception cref="RpcException">The registry reports a failure, or the connection broke.</exception>
    /// <exception cref="DamagedMessageException">It was damaged on the way: its checksum is another, or it makes no sense.
    /// </exception>
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
                Require(whole.HasChecksum, () => whole.Checksum == WireChecksum.Of(whole));
                return whole.Failure is { } failure
                    ? throw GrpcErrors.Failure((StatusCode)failure.Status, failure.Error)
                    : whole;
            }
        }

        // Whole messages, so that pieces begin and end where the registry cut them: mostly on whole pages.
        var length = Math.Min(_content, BufferBytes);
        var checksum = _hasChecksum ? ChecksumBytes : 0;
        if (!Fill(length + checksum))
        {
            throw Cut(null);
        }

        var content = _buffer.AsMemory(_start, length);
        Require(_hasChecksum, () => _buffer[_start + length] == ChecksumTag
            && BinaryPrimitives.ReadUInt64LittleEndian(_buffer.AsSpan(_start + length + 1))
                == WireChecksum.Of(content.Span, _offset));
        var data = new DiskData { Offset = _offset, Data = UnsafeByteOperations.UnsafeWrap(content) };
        _start += length + checksum;
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
            throw new DamagedMessageException();
        }

        if (Fill(1) && _buffer[_start] == DataTag)
        {
            _head = 0;
            Varint(); // the tag
            var inner = Varint();
            var innerStart = _head;
            var tag = Varint();
            _offset = 0;
            if (tag == OffsetTag)
            {
                _offset = (long)Varint();
                tag = Varint();
            }

            _content = tag == ContentTag ? (int)Varint() : 0;
            _hasChecksum = length - _head - _content == ChecksumBytes && _content <= BufferBytes - ChecksumBytes;
            var end = _head + _content;
            return _content > 0 && end + (_hasChecksum ? ChecksumBytes : 0) == length && inner == (ulong)(end - innerStart)
                ? null
                : throw new DamagedMessageException();
        }

        if (length > OtherBytesMax)
        {
            throw new DamagedMessageException();
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
            throw new DamagedMessageException();
        }
        finally
        {
            _start += length;
        }
    }

    // Where one message has a checksum all have: one without is one whose checksum was damaged.
    private void Require(bool hasChecksum, Func<bool> isRight)
    {
        _hasChecksums ??= hasChecksum;
        if (hasChecksum != _hasChecksums || (hasChecksum && !isRight()))
        {
            throw new DamagedMessageException();
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

        throw new DamagedMessageException();
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
}
