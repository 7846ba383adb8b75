using System.Buffers.Binary;
using System.Text;

namespace Registry.Api.Tests.Nbd;

/// <summary>The protocol where real clients do not go: its corners, and clients that break it.</summary>
public sealed class NbdProtocolTests(NbdApp app) : IClassFixture<NbdApp>
{
    private const int DiskBytes = 3 << 20;
    private static readonly TimeSpan Promptly = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task What_is_not_known_is_refused_and_the_client_goes_on()
    {
        var (id, _) = await UploadAsync();
        using var wire = await NbdWire.ConnectAsync(app.Port);

        Assert.Equal(NbdWire.Unsupported, await AnswerAsync(NbdWire.StartTls, []));
        Assert.Equal(NbdWire.Unsupported, await AnswerAsync(4711, [1, 2, 3]));
        Assert.Equal(NbdWire.Invalid, await AnswerAsync(NbdWire.List, [1]));
        Assert.Equal(NbdWire.Invalid, await AnswerAsync(NbdWire.Structured, [1]));
        Assert.Equal(NbdWire.Invalid, await AnswerAsync(NbdWire.Go, []));
        Assert.Equal(NbdWire.Invalid, await AnswerAsync(NbdWire.Go, [.. NbdWire.Big(400u), 65, 0, 0]));
        Assert.Equal(NbdWire.Invalid, await AnswerAsync(NbdWire.Info, [.. NbdWire.Text(id), 0, 2, 0, 3]));
        Assert.Equal(NbdWire.Invalid, await AnswerAsync(NbdWire.Info, [.. NbdWire.Text(new string('n', 5000)), 0, 0]));
        Assert.Equal(NbdWire.Unknown, await AnswerAsync(NbdWire.Go, [.. NbdWire.Text("nothing"), 0, 0]));
        Assert.Equal(NbdWire.Unknown, await AnswerAsync(NbdWire.Go, [.. NbdWire.Text(""), 0, 0]));
        Assert.Equal(NbdWire.Invalid, await AnswerAsync(NbdWire.SetMeta, Meta(id, "base:allocation"))); // not structured
        Assert.Equal(NbdWire.Ack, await AnswerAsync(NbdWire.Structured, []));
        Assert.Equal(NbdWire.Invalid, await AnswerAsync(NbdWire.SetMeta, [.. NbdWire.Text(id), 0, 0, 0, 9]));
        Assert.Equal(NbdWire.Invalid, await AnswerAsync(NbdWire.SetMeta, [.. NbdWire.Text(id), 255, 255, 255, 255]));
        Assert.Equal(NbdWire.Ack, await AnswerAsync(NbdWire.Go, [.. NbdWire.Text(id), 0, 0]));

        // No context was chosen.
        await wire.SendAsync(NbdWire.Status, 0, 512);
        var (_, chunk, isLast) = await wire.ChunkAsync();
        Assert.Equal((0x8001, true), (chunk.Type, isLast));
        Assert.Equal(22u, BinaryPrimitives.ReadUInt32BigEndian(chunk.Payload));

        async Task<uint> AnswerAsync(uint option, byte[] data) => (await wire.AskAsync(option, data))[^1].Type;
    }

    [Fact]
    public async Task Contexts_are_listed_and_chosen()
    {
        var (id, _) = await UploadAsync();
        using var wire = await NbdWire.ConnectAsync(app.Port);
        await wire.AskAsync(NbdWire.Structured, []);

        foreach (var queries in new string[][] { [], ["base:"], ["x:y", "base:allocation"] })
        {
            var listed = await wire.AskAsync(NbdWire.ListMeta, Meta(id, queries));
            Assert.Equal([0, 0, 0, 0, .. "base:allocation"u8.ToArray()], listed[0].Data);
            Assert.Equal(NbdWire.Ack, listed[1].Type);
        }

        foreach (var queries in new string[][] { [], ["base:"], ["qemu:allocation-depth"] })
        {
            Assert.Equal(NbdWire.Ack, Assert.Single(await wire.AskAsync(NbdWire.SetMeta, Meta(id, queries))).Type);
        }

        Assert.Equal(2, (await wire.AskAsync(NbdWire.SetMeta, Meta(id, "base:allocation"))).Count);
        Assert.Equal(NbdWire.Ack, (await wire.AskAsync(NbdWire.Abort, []))[^1].Type);
        Assert.True(await wire.IsEndedAsync(Promptly));
    }

    [Theory]
    [InlineData(1u)]
    [InlineData(3u)]
    public async Task The_oldest_way_to_choose_an_export_works(uint flags)
    {
        var (id, content) = await UploadAsync();
        using var wire = await NbdWire.ConnectAsync(app.Port, flags);
        await wire.SendOptionAsync(NbdWire.ExportName, Encoding.UTF8.GetBytes(id));
        var answer = await wire.TakeAsync(flags == 3 ? 10 : 134);
        Assert.Equal(DiskBytes, BinaryPrimitives.ReadInt64BigEndian(answer));
        Assert.Equal(0b101_0000_0011, BinaryPrimitives.ReadUInt16BigEndian(answer.AsSpan(8)));
        Assert.Equal(content, await wire.ReadAsync(0, DiskBytes));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Any_range_is_read(bool isStructured)
    {
        var (id, content) = await UploadAsync();
        using var wire = await NbdWire.OpenAsync(app.Port, id, isStructured);
        var random = new Random(11);
        for (var i = 0; i < 120; i++)
        {
            var offset = random.Next(DiskBytes);
            var length = Math.Min(DiskBytes - offset, 1 + (int)Math.Pow(2, random.NextDouble() * 21));
            var flags = isStructured && length <= 65536 && i % 3 == 0 ? NbdWire.DontFragment : (ushort)0;
            var got = await wire.ReadAsync(offset, length, flags);
            Assert.True(content.AsSpan(offset, length).SequenceEqual(got), $"{offset} {length}");
        }

        await wire.SendAsync(NbdWire.Disconnect, 0, 0);
        Assert.True(await wire.IsEndedAsync(Promptly));
    }

    [Fact]
    public async Task Zeroes_are_not_sent_but_where_one_piece_is_wanted()
    {
        var (id, content) = await UploadAsync();
        using var wire = await NbdWire.OpenAsync(app.Port, id);

        // One MiB of data between two of zeroes.
        var reply = await wire.RequestAsync(NbdWire.Read, 0, DiskBytes);
        Assert.Equal(content, NbdWire.Assemble(reply, 0, DiskBytes));
        Assert.InRange(reply.Chunks.Sum(chunk => chunk.Payload.Length), 1 << 20, (1 << 20) + 1024);

        var whole = await wire.RequestAsync(NbdWire.Read, (1 << 20) - 4096, 8192, NbdWire.DontFragment);
        Assert.Equal((1, 8200), (Assert.Single(whole.Chunks).Type, whole.Chunks[0].Payload.Length));
    }

    [Fact]
    public async Task What_is_stored_is_told()
    {
        var (id, _) = await UploadAsync();
        using var wire = await NbdWire.OpenAsync(app.Port, id);

        Assert.Equal([(1 << 20, 3), (1 << 20, 0), (1 << 20, 3)], await StatusAsync(0, DiskBytes));
        Assert.Equal([(1 << 20, 3)], await StatusAsync(0, DiskBytes, NbdWire.OnlyOne));
        Assert.Equal([(1, 3), (9, 0)], await StatusAsync((1 << 20) - 1, 10));
        Assert.Equal([(512, 3)], await StatusAsync(DiskBytes - 512, 512));

        async Task<List<(int, int)>> StatusAsync(long offset, int length, ushort flags = 0)
        {
            var (type, payload) = Assert.Single((await wire.RequestAsync(NbdWire.Status, offset, length, flags)).Chunks);
            Assert.Equal(5, type);
            return [.. payload[4..].Chunk(8).Select(run => (
                BinaryPrimitives.ReadInt32BigEndian(run), BinaryPrimitives.ReadInt32BigEndian(run.AsSpan(4))))];
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_cannot_be_done_has_its_number_and_the_client_goes_on(bool isStructured)
    {
        var (id, content) = await UploadAsync();
        using var wire = await NbdWire.OpenAsync(app.Port, id, isStructured);

        Assert.Equal(22u, await ErrorAsync(NbdWire.Read, DiskBytes - 1, 2));
        Assert.Equal(22u, await ErrorAsync(NbdWire.Read, -1, 2));
        Assert.Equal(22u, await ErrorAsync(NbdWire.Read, 0, 512, 1 << 9));
        Assert.Equal(22u, await ErrorAsync(NbdWire.Cache, DiskBytes, 1));
        Assert.Equal(22u, await ErrorAsync(NbdWire.Cache, 0, 512, 2));
        Assert.Equal(22u, await ErrorAsync(99, 0, 512));
        Assert.Equal(1u, await ErrorAsync(NbdWire.Trim, 0, 512));
        Assert.Equal(1u, await ErrorAsync(NbdWire.WriteZeroes, 0, 512));
        Assert.Equal(1u, (await wire.RequestAsync(NbdWire.Write, 0, 100_000, 0, new byte[100_000])).Error);
        if (isStructured)
        {
            Assert.Equal(75u, await ErrorAsync(NbdWire.Read, 0, 1 << 20, NbdWire.DontFragment));
        }

        Assert.Equal(0u, await ErrorAsync(NbdWire.Cache, 0, DiskBytes));
        Assert.Equal(0u, await ErrorAsync(NbdWire.Flush, 0, 0));
        Assert.Equal(0u, await ErrorAsync(NbdWire.Read, 0, 0));
        Assert.Equal(content[(1 << 20)..(2 << 20)], await wire.ReadAsync(1 << 20, 1 << 20));

        async Task<uint> ErrorAsync(ushort command, long offset, int length, ushort flags = 0) =>
            (await wire.RequestAsync(command, offset, length, flags)).Error;
    }

    [Fact]
    public async Task Requests_at_once_are_all_answered()
    {
        var (id, content) = await UploadAsync();
        using var wire = await NbdWire.OpenAsync(app.Port, id);
        var wanted = new Dictionary<ulong, (int Offset, byte[] Content)>();
        for (var i = 0; i < 100; i++)
        {
            var offset = i * 31_000;
            wanted.Add(await wire.SendAsync(NbdWire.Read, (ulong)offset, 30_000), (offset, new byte[30_000]));
        }

        for (var open = wanted.Count; open > 0;)
        {
            var (cookie, chunk, isLast) = await wire.ChunkAsync();
            if (chunk.Type == 1)
            {
                var at = (int)BinaryPrimitives.ReadInt64BigEndian(chunk.Payload) - wanted[cookie].Offset;
                chunk.Payload.AsSpan(8).CopyTo(wanted[cookie].Content.AsSpan(at));
            }

            open -= isLast ? 1 : 0;
        }

        Assert.All(
            wanted.Values, one => Assert.Equal(content[one.Offset..(one.Offset + 30_000)], one.Content));
    }

    [Theory]
    [InlineData("flags")]
    [InlineData("option magic")]
    [InlineData("long option")]
    [InlineData("endless options")]
    [InlineData("long name")]
    [InlineData("no such export")]
    public async Task Who_breaks_the_handshake_is_dropped(string how)
    {
        using var wire = await NbdWire.ConnectAsync(app.Port, how == "flags" ? 0xffu : 3u);
        try
        {
            switch (how)
            {
                case "option magic":
                    await wire.Stream.WriteAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray(), RegistryApp.Stop);
                    break;
                case "long option":
                    await wire.Stream.WriteAsync(
                        (byte[])[.. "IHAVEOPT"u8, .. NbdWire.Big(NbdWire.Go), .. NbdWire.Big(uint.MaxValue)],
                        RegistryApp.Stop);
                    break;
                case "endless options":
                    for (var i = 0; i < 1000; i++)
                    {
                        await wire.AskAsync(NbdWire.Structured, []);
                    }

                    break;
                case "long name":
                    await wire.SendOptionAsync(NbdWire.ExportName, new byte[5000]);
                    break;
                case "no such export":
                    await wire.SendOptionAsync(NbdWire.ExportName, "nothing"u8.ToArray());
                    break;
                default:
                    break;
            }
        }
        catch (IOException)
        {
            // It is dropped already.
        }

        Assert.True(await wire.IsEndedAsync(Promptly));
    }

    [Theory]
    [InlineData(0x11111111u, NbdWire.Read, 512u)]
    [InlineData(0x25609513u, NbdWire.Write, 64u << 20)]
    [InlineData(0x25609513u, NbdWire.Write, uint.MaxValue)]
    public async Task Who_breaks_the_session_is_dropped(uint magic, ushort command, uint length)
    {
        var (id, _) = await UploadAsync();
        using var wire = await NbdWire.OpenAsync(app.Port, id);
        await wire.Stream.WriteAsync(
            (byte[])
            [
                .. NbdWire.Big(magic), 0, 0, 0, (byte)command, .. NbdWire.Big(1ul), .. NbdWire.Big(0ul),
                .. NbdWire.Big(length),
            ],
            RegistryApp.Stop);
        Assert.True(await wire.IsEndedAsync(Promptly));
    }

    private async Task<(string Id, byte[] Content)> UploadAsync()
    {
        var content = new byte[DiskBytes];
        new Random(2).NextBytes(content.AsSpan(1 << 20, 1 << 20));
        return (await app.UploadAsync(content), content);
    }

    private static byte[] Meta(string export, params string[] queries) =>
        [.. NbdWire.Text(export), .. NbdWire.Big((uint)queries.Length), .. queries.SelectMany(NbdWire.Text)];
}
