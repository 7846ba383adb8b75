using Google.Protobuf;
using Grpc.Core;
using Registry.Api.Cli;
using Registry.Api.Grpc;
using Registry.Protos.V1;

namespace Registry.Api.Tests.Cli;

public sealed class DiskMessageReaderTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Messages_come_as_they_were_sent_however_the_stream_is_cut(int seed)
    {
        var random = new Random(seed);
        var (sent, bytes) = Make(random);
        var reader = new DiskMessageReader(new Dribble(bytes, random));
        foreach (var message in sent)
        {
            if (message.Data is null)
            {
                Assert.Equal(message, reader.Next());
                continue;
            }

            // Longer content than the reader's buffer comes in parts.
            var got = new MemoryStream();
            while (got.Length < message.Data.Data.Length)
            {
                var part = reader.Next()!.Data;
                Assert.Equal(message.Data.Offset + got.Length, part.Offset);
                got.Write(part.Data.Span);
            }

            Assert.True(message.Data.Data.Span.SequenceEqual(got.GetBuffer().AsSpan(0, (int)got.Length)));
        }

        Assert.Null(reader.Next());
    }

    [Fact]
    public void A_stream_that_is_cut_anywhere_is_told_from_one_that_ended()
    {
        var (_, bytes) = Make(new Random(4));
        for (var length = 1; length < bytes.Length; length += 997)
        {
            var reader = new DiskMessageReader(new MemoryStream(bytes, 0, length));
            try
            {
                while (reader.Next() is { } message)
                {
                    Assert.Null(message.End);
                }
            }
            catch (RpcException e)
            {
                Assert.Equal(StatusCode.Unavailable, e.StatusCode);
            }
        }
    }

    [Fact]
    public void Junk_is_refused()
    {
        for (var seed = 0; seed < 300; seed++)
        {
            var junk = new byte[200_000];
            new Random(seed).NextBytes(junk);
            var reader = new DiskMessageReader(new MemoryStream(junk));
            Assert.ThrowsAny<Exception>(() =>
            {
                while (reader.Next() is not null)
                {
                }
            });
        }
    }

    [Fact]
    public void A_flipped_bit_in_a_stream_with_checksums_is_always_detected()
    {
        var (_, bytes) = Make(new Random(9), withChecksums: true, contentMax: 5_000);
        var expected = Read(bytes);
        Assert.NotNull(expected[^1].End);
        var random = new Random(10);
        foreach (var at in Enumerable.Range(0, 400).Concat(Enumerable.Range(0, 3_000).Select(_ => random.Next(bytes.Length))))
        {
            var flipped = bytes.ToArray();
            flipped[at] ^= (byte)(1 << random.Next(8));
            var got = Read(flipped);
            Assert.True(got.Count < expected.Count, $"a flip in byte {at} was not detected");
            Assert.Equal(expected.Take(got.Count), got);
        }
    }

    [Fact]
    public void A_failure_is_thrown_with_its_reason()
    {
        var error = new ErrorDetail { Code = "data_corrupt", Message = "It is damaged." };
        var stream = new MemoryStream();
        new DiskResponse { Failure = new DiskFailure { Status = (int)StatusCode.DataLoss, Error = error } }
            .WriteDelimitedTo(stream);
        stream.Position = 0;
        var told = Assert.Throws<RpcException>(() => new DiskMessageReader(stream).Next());
        Assert.Equal(StatusCode.DataLoss, told.StatusCode);
        Assert.Equal("It is damaged. (data_corrupt)", RegistryCommand.Sentence(told));
    }

    // What a reader gets before the end, or before it rejects the stream; content joined as it comes.
    private static List<DiskResponse> Read(byte[] bytes)
    {
        var messages = new List<DiskResponse>();
        var known = DiskResponse.Parser.WithDiscardUnknownFields(true);
        var reader = new DiskMessageReader(new MemoryStream(bytes));
        try
        {
            while (reader.Next() is { } message)
            {
                // A checksum whose tag was damaged is a field that is not known; the message is what it was.
                messages.Add(known.ParseFrom(message.ToByteArray()));
                messages[^1].ClearChecksum();
            }
        }
        catch (Exception rejected) when (rejected is DamagedMessageException or RpcException)
        {
            return messages;
        }

        return messages;
    }

    private static (List<DiskResponse> Messages, byte[] Bytes) Make(
        Random random, bool withChecksums = false, int contentMax = 2 << 20)
    {
        var messages = new List<DiskResponse> { new() { Start = new DiskStart { Size = 1L << 40, Allocated = 7 } } };
        var offset = 0L;
        for (var i = 0; i < 40; i++)
        {
            var content = new byte[random.Next(10) == 0 ? random.Next(1, contentMax) : random.Next(1, Math.Min(contentMax, 70_000))];
            random.NextBytes(content);
            messages.Add(new DiskResponse
            {
                Data = new DiskData { Offset = offset, Data = ByteString.CopyFrom(content) },
            });
            offset += content.Length + (random.Next(3) == 0 ? 1L << random.Next(40) : 0);
            if (random.Next(5) == 0)
            {
                messages.Add(new DiskResponse { Checkpoint = new DiskCheckpoint { Offset = offset } });
            }
        }

        messages.Add(new DiskResponse { End = new DiskEnd { BytesSent = offset } });
        var stream = new MemoryStream();
        foreach (var message in messages)
        {
            (withChecksums ? WireChecksum.Seal(message) : message).WriteDelimitedTo(stream);
        }

        return (messages, stream.ToArray());
    }

    /// <summary>Gives a few bytes at a time, as a connection may.</summary>
    private sealed class Dribble(byte[] bytes, Random random) : MemoryStream(bytes)
    {
        public override int Read(Span<byte> buffer) =>
            base.Read(buffer[..Math.Min(buffer.Length, random.Next(4) == 0 ? random.Next(1, 9) : random.Next(1, 100_000))]);
    }
}
