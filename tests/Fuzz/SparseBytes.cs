using System.Buffers.Binary;
using System.Numerics;
using Registry.Engine.Bytes;

namespace Registry.Fuzz;

/// <summary>A file of zeroes with pieces of content in it: formats whose smallest file has megabytes, in a few hundred
/// bytes.</summary>
/// <remarks>
/// <code>
/// packed:  u32 sectors of the file | pieces          little-endian
/// piece:   u32 first sector | u16 bytes | the bytes
/// </code>
/// </remarks>
public sealed class SparseBytes : IByteSource
{
    private const int SectorBytes = 512;
    private const uint MaxSectors = (64 << 20) / SectorBytes;
    private const int MaxPieces = 256;
    private const int PieceHeadBytes = 6;

    private readonly List<(long Offset, ReadOnlyMemory<byte> Bytes)> pieces = [];

    /// <param name="length">Bytes of the file.</param>
    public SparseBytes(long length) => Length = length;

    /// <inheritdoc/>
    public long Length { get; }

    /// <summary>Makes a file of any bytes: of at most 64 MiB and 256 pieces.</summary>
    public static SparseBytes Unpack(ReadOnlyMemory<byte> packed)
    {
        if (packed.Length < sizeof(uint))
        {
            return new SparseBytes(0);
        }

        var sectors = Math.Min(BinaryPrimitives.ReadUInt32LittleEndian(packed.Span), MaxSectors);
        var file = new SparseBytes(sectors * (long)SectorBytes);
        for (var at = sizeof(uint); at + PieceHeadBytes <= packed.Length && file.pieces.Count < MaxPieces;)
        {
            var offset = BinaryPrimitives.ReadUInt32LittleEndian(packed.Span[at..]) * (long)SectorBytes;
            var bytes = (int)BinaryPrimitives.ReadUInt16LittleEndian(packed.Span[(at + 4)..]);
            at += PieceHeadBytes;
            bytes = Math.Min(bytes, packed.Length - at);
            file.Write(offset, packed.Slice(at, bytes));
            at += bytes;
        }

        return file;
    }

    /// <summary>Packs a file: its sectors that are not zeroes.</summary>
    public static byte[] Pack(ReadOnlySpan<byte> file)
    {
        var packed = new List<byte>();
        Span<byte> head = stackalloc byte[PieceHeadBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(head, (uint)((file.Length + SectorBytes - 1) / SectorBytes));
        packed.AddRange(head[..sizeof(uint)]);
        for (var at = 0; at < file.Length;)
        {
            var end = at;
            while (end < file.Length && end - at < ushort.MaxValue - SectorBytes && Sector(file, end).ContainsAnyExcept((byte)0))
            {
                end += SectorBytes;
            }

            if (end > at)
            {
                var content = file[at..Math.Min(end, file.Length)].TrimEnd((byte)0);
                BinaryPrimitives.WriteUInt32LittleEndian(head, (uint)(at / SectorBytes));
                BinaryPrimitives.WriteUInt16LittleEndian(head[4..], (ushort)content.Length);
                packed.AddRange(head);
                packed.AddRange(content);
            }

            at = Math.Max(end, at + SectorBytes);
        }

        return [.. packed];
    }

    /// <summary>Puts content in; what lies behind the file's end is left out.</summary>
    public void Write(long offset, ReadOnlyMemory<byte> bytes) => pieces.Add((offset, bytes));

    /// <inheritdoc/>
    public ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        return new(Read(offset, buffer.Span));
    }

    /// <inheritdoc/>
    public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
        new(new ByteRun(Length - offset, false));

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    /// <summary>Makes the checksums of VHD and VHDX structures right again, so that what is behind them is
    /// reached.</summary>
    public void RepairChecksums()
    {
        Span<byte> magic = stackalloc byte[8];
        foreach (var (offset, length, field) in new (long, int, int)[]
        {
            (0, 512, 64), (Length - 512, 512, 64), (512, 1024, 36),
        })
        {
            if (offset >= 0 && Read(offset, magic) == 8
                && (magic.SequenceEqual("conectix"u8) || magic.SequenceEqual("cxsparse"u8)))
            {
                Repair(offset, length, field, SumOf, isLittleEndian: false);
            }
        }

        foreach (var (offset, length) in new (long, int)[] { (64 << 10, 4096), (128 << 10, 4096), (192 << 10, 64 << 10) })
        {
            if (Read(offset, magic) == 8 && (magic.StartsWith("head"u8) || magic.StartsWith("regi"u8)))
            {
                Repair(offset, length, 4, CrcOf, isLittleEndian: true);
            }
        }
    }

    private static ReadOnlySpan<byte> Sector(ReadOnlySpan<byte> file, int at) =>
        file[at..Math.Min(at + SectorBytes, file.Length)];

    private static uint SumOf(ReadOnlySpan<byte> bytes)
    {
        var sum = 0u;
        foreach (var value in bytes)
        {
            sum += value;
        }

        return ~sum;
    }

    private static uint CrcOf(ReadOnlySpan<byte> bytes)
    {
        var crc = uint.MaxValue;
        for (var i = 0; i + 8 <= bytes.Length; i += 8)
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(bytes[i..]));
        }

        return ~crc;
    }

    private void Repair(long offset, int length, int field, Func<ReadOnlySpan<byte>, uint> sumOf, bool isLittleEndian)
    {
        var bytes = new byte[length];
        if (Read(offset, bytes) < length)
        {
            return;
        }

        bytes.AsSpan(field, 4).Clear();
        var sum = sumOf(bytes);
        var fixedSum = new byte[4];
        if (isLittleEndian)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(fixedSum, sum);
        }
        else
        {
            BinaryPrimitives.WriteUInt32BigEndian(fixedSum, sum);
        }

        Write(offset + field, fixedSum);
    }

    private int Read(long offset, Span<byte> buffer)
    {
        var count = (int)Math.Clamp(Length - offset, 0, buffer.Length);
        buffer = buffer[..count];
        buffer.Clear();
        foreach (var (start, bytes) in pieces)
        {
            var from = Math.Max(start, offset);
            var until = Math.Min(start + bytes.Length, offset + count);
            if (from < until)
            {
                bytes.Span[(int)(from - start)..(int)(until - start)].CopyTo(buffer[(int)(from - offset)..]);
            }
        }

        return count;
    }
}
