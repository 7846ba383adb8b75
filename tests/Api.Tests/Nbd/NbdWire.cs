using System.Buffers.Binary;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;

namespace Registry.Api.Tests.Nbd;

/// <summary>A reply of either kind to a request: all its chunks.</summary>
internal sealed record NbdReply(uint Error, List<(ushort Type, byte[] Payload)> Chunks);

/// <summary>The NBD protocol by hand, so that a client can also be wrong.</summary>
internal sealed class NbdWire : IDisposable
{
    public const uint ExportName = 1, Abort = 2, List = 3, StartTls = 5, Info = 6, Go = 7, Structured = 8;
    public const uint ListMeta = 9, SetMeta = 10;
    public const uint Ack = 1, Unsupported = 0x8000_0001, Policy = 0x8000_0002, Invalid = 0x8000_0003;
    public const uint TlsRequired = 0x8000_0005, Unknown = 0x8000_0006;
    public const ushort Read = 0, Write = 1, Disconnect = 2, Flush = 3, Trim = 4, Cache = 5, WriteZeroes = 6, Status = 7;
    public const ushort DontFragment = 4, OnlyOne = 8;

    private const ulong OptionMagic = 0x49484156454F5054;
    private readonly TcpClient _socket = new();
    private ulong _cookie = 77;

    /// <summary>The connection.</summary>
    public Stream Stream { get; private set; } = null!;

    /// <summary>Whether replies come in chunks.</summary>
    public bool IsStructured { get; private set; }

    /// <summary>Connects and greets.</summary>
    public static async Task<NbdWire> ConnectAsync(int port, uint flags = 3)
    {
        var wire = new NbdWire();
        await wire._socket.ConnectAsync("127.0.0.1", port, RegistryApp.Stop);
        wire.Stream = wire._socket.GetStream(); // once: a connection that was reset has none to give
        var hello = await wire.TakeAsync(18);
        Assert.Equal("NBDMAGICIHAVEOPT", Encoding.ASCII.GetString(hello, 0, 16));
        Assert.Equal(3, BinaryPrimitives.ReadUInt16BigEndian(hello.AsSpan(16)));
        await wire.Stream.WriteAsync(Big(flags), RegistryApp.Stop);
        return wire;
    }

    /// <summary>Connects and chooses an export.</summary>
    public static async Task<NbdWire> OpenAsync(int port, string name, bool isStructured = true)
    {
        var wire = await ConnectAsync(port);
        if (isStructured)
        {
            Assert.Equal(Ack, (await wire.AskAsync(Structured, []))[^1].Type);
            Assert.Equal(Ack, (await wire.AskAsync(SetMeta, [.. Text(name), .. Big(1u), .. Text("base:allocation")]))[^1].Type);
            wire.IsStructured = true;
        }

        Assert.Equal(Ack, (await wire.AskAsync(Go, [.. Text(name), 0, 0]))[^1].Type);
        return wire;
    }

    /// <summary>Asks for TLS, and goes on within it.</summary>
    public async Task SecureAsync()
    {
        Assert.Equal(Ack, Assert.Single(await AskAsync(StartTls, [])).Type);
        var secured = new SslStream(Stream);
        await secured.AuthenticateAsClientAsync(
            new SslClientAuthenticationOptions
            {
                TargetHost = "127.0.0.1",
                RemoteCertificateValidationCallback = (_, shown, _, _) => shown?.Subject == NbdCertificates.ServerName,
            },
            RegistryApp.Stop);
        Stream = secured;
    }

    /// <summary>Sends an option and reads all that is answered.</summary>
    public async Task<List<(uint Type, byte[] Data)>> AskAsync(uint option, byte[] data)
    {
        await SendOptionAsync(option, data);
        var answers = new List<(uint Type, byte[] Data)>();
        do
        {
            var head = await TakeAsync(20);
            Assert.Equal(0x3e889045565a9ul, BinaryPrimitives.ReadUInt64BigEndian(head));
            Assert.Equal(option, BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(8)));
            answers.Add((
                BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(12)),
                await TakeAsync((int)BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(16)))));
        }
        while (answers[^1].Type != Ack && answers[^1].Type < 0x8000_0000);

        return answers;
    }

    /// <summary>Sends an option.</summary>
    public ValueTask SendOptionAsync(uint option, byte[] data) => Stream.WriteAsync(
        (byte[])[.. Big(OptionMagic), .. Big(option), .. Big((uint)data.Length), .. data], RegistryApp.Stop);

    /// <summary>Sends a request.</summary>
    /// <returns>Its cookie.</returns>
    public async Task<ulong> SendAsync(ushort command, ulong offset, uint length, ushort flags = 0, byte[]? data = null)
    {
        _cookie++;
        await Stream.WriteAsync(
            (byte[])
            [
                .. Big(0x25609513u), (byte)(flags >> 8), (byte)flags, (byte)(command >> 8), (byte)command, .. Big(_cookie),
                .. Big(offset), .. Big(length), .. data ?? [],
            ],
            RegistryApp.Stop);
        return _cookie;
    }

    /// <summary>Sends a request and reads its reply.</summary>
    public async Task<NbdReply> RequestAsync(
        ushort command, long offset, int length, ushort flags = 0, byte[]? data = null)
    {
        var cookie = await SendAsync(command, (ulong)offset, (uint)length, flags, data);
        return await ReplyAsync(cookie, command == Read ? length : 0);
    }

    /// <summary>Reads the reply to one request, no other being under way.</summary>
    /// <param name="cookie">The request's.</param>
    /// <param name="length">Bytes that a simple reply brings.</param>
    public async Task<NbdReply> ReplyAsync(ulong cookie, int length)
    {
        var chunks = new List<(ushort Type, byte[] Payload)>();
        if (!IsStructured)
        {
            var head = await TakeAsync(16);
            Assert.Equal(0x67446698u, BinaryPrimitives.ReadUInt32BigEndian(head));
            Assert.Equal(cookie, BinaryPrimitives.ReadUInt64BigEndian(head.AsSpan(8)));
            var error = BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(4));
            chunks.Add((0, await TakeAsync(error == 0 ? length : 0)));
            return new NbdReply(error, chunks);
        }

        for (var isDone = false; !isDone;)
        {
            var (got, chunk, isLast) = await ChunkAsync();
            Assert.Equal(cookie, got);
            chunks.Add(chunk);
            isDone = isLast;
        }

        var failed = chunks.Find(chunk => chunk.Type >= 0x8000).Payload;
        return new NbdReply(failed is null ? 0 : BinaryPrimitives.ReadUInt32BigEndian(failed), chunks);
    }

    /// <summary>Reads one chunk of a structured reply.</summary>
    public async Task<(ulong Cookie, (ushort Type, byte[] Payload) Chunk, bool IsLast)> ChunkAsync()
    {
        var head = await TakeAsync(20);
        Assert.Equal(0x668e33efu, BinaryPrimitives.ReadUInt32BigEndian(head));
        var payload = await TakeAsync((int)BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(16)));
        return (
            BinaryPrimitives.ReadUInt64BigEndian(head.AsSpan(8)),
            (BinaryPrimitives.ReadUInt16BigEndian(head.AsSpan(6)), payload),
            (head[5] & 1) != 0);
    }

    /// <summary>The bytes that chunks bring for a range; every byte must come once.</summary>
    public static byte[] Assemble(NbdReply reply, long offset, int length)
    {
        Assert.Equal(0u, reply.Error);
        var (content, seen) = (new byte[length], 0L);
        foreach (var (type, payload) in reply.Chunks.Where(chunk => chunk.Type != 0))
        {
            var at = (int)(BinaryPrimitives.ReadInt64BigEndian(payload) - offset);
            if (type == 1)
            {
                payload.AsSpan(8).CopyTo(content.AsSpan(at));
                seen += payload.Length - 8;
            }
            else
            {
                Assert.Equal(2, type);
                seen += BinaryPrimitives.ReadUInt32BigEndian(payload.AsSpan(8));
            }
        }

        Assert.Equal(length, seen);
        return content;
    }

    /// <summary>Reads bytes.</summary>
    public async Task<byte[]> ReadAsync(long offset, int length, ushort flags = 0)
    {
        var reply = await RequestAsync(Read, offset, length, flags);
        return IsStructured ? Assemble(reply, offset, length) : reply.Chunks[0].Payload;
    }

    /// <summary>Whether the server ends the connection within a time.</summary>
    public async Task<bool> IsEndedAsync(TimeSpan within)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(RegistryApp.Stop);
        limit.CancelAfter(within);
        try
        {
            var rest = new byte[4096];
            while (await Stream.ReadAsync(rest, limit.Token) > 0)
            {
                // What was under way comes first.
            }

            return true;
        }
        catch (IOException)
        {
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    public async Task<byte[]> TakeAsync(int length)
    {
        var bytes = new byte[length];
        await Stream.ReadExactlyAsync(bytes, RegistryApp.Stop);
        return bytes;
    }

    public static byte[] Text(string text) =>
        [.. Big((uint)Encoding.UTF8.GetByteCount(text)), .. Encoding.UTF8.GetBytes(text)];

    public static byte[] Big(uint value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        return bytes;
    }

    public static byte[] Big(ulong value)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, value);
        return bytes;
    }

    public void Dispose() => _socket.Dispose();
}
