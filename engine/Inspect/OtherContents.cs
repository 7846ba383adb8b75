using System.Buffers.Binary;

namespace Registry.Engine.Inspect;

/// <summary>Recognises content that is not a disk: compressed data, archives, and images in formats of other
/// programs.</summary>
/// <remarks>Each signature is long enough, or checked together with the fields around it, that no disk begins with it:
/// boot code and file systems have other bytes there.</remarks>
public static class OtherContents
{
    private const uint SkippableMagic = 0x184D2A50; // the lowest of sixteen
    private const uint FirstZstdMagic = 0xFD2FB522; // of version 0.2
    private const uint ZstdMagic = 0xFD2FB528;
    private const uint Lz4Magic = 0x184D2204;
    private const uint Lz4LegacyMagic = 0x184C2102;
    private const int DmgTrailerBytes = 512;
    private const int CloopHeadBytes = 128;

    private static readonly (byte[] Magic, OtherContent Content)[] Signatures =
    [
        ([0xFD, (byte)'7', (byte)'z', (byte)'X', (byte)'Z', 0], Compressed("xz")),
        ([.. "LZIP\x1"u8], Compressed("lzip")),
        ([0x89, (byte)'L', (byte)'Z', (byte)'O', 0, 0x0D, 0x0A, 0x1A, 0x0A], Compressed("lzop")),
        ([.. "PK\x3\x4"u8], Compressed("zip")),
        ([.. "PK\x5\x6"u8], Compressed("zip")),
        ([.. "PK\x7\x8PK"u8], Compressed("zip")),
        ([(byte)'7', (byte)'z', 0xBC, 0xAF, 0x27, 0x1C], Compressed("7z")),
        ([.. "Rar!\x1A\x7"u8], Compressed("rar")),
        ([.. "Bochs Virtual HD Image"u8], Image("bochs")),
        ([0x3A, 0xFF, 0x26, 0xED, 1, 0], Image("Android sparse image")),
    ];

    /// <summary>Names what a file is by its ends.</summary>
    /// <param name="head">Its first bytes; 64 KiB are enough.</param>
    /// <param name="tail">Its last bytes: 512, or all there are.</param>
    /// <returns>Null where it may be a disk.</returns>
    public static OtherContent? Find(ReadOnlySpan<byte> head, ReadOnlySpan<byte> tail) =>
        FindCompression(head) is { } name ? Compressed(name)
        : TarContent.Find(head) is { } archive ? archive
        : FindSignature(head) is { } found ? found
        : IsCloop(head) ? Image("cloop")
        : IsDmg(tail) ? Image("dmg")
        : null;

    /// <summary>Names the compression of bytes by their head; null where there is none.</summary>
    /// <param name="head">The first bytes. What a zstd file begins with may be long; 4 KiB find what there is in
    /// practice.</param>
    public static string? FindCompression(ReadOnlySpan<byte> head) =>
        IsGzip(head) ? "gzip"
        : IsBzip2(head) ? "bzip2"
        : IsLzma(head) ? "lzma"
        : head.Length > 3 && head[0] == 0x1F && head[1] == 0x9D && (head[2] & 0x1F) is >= 9 and <= 16
            && (head[2] & 0x60) == 0 ? "compress"
        : FindFrames(head) ?? (FindSignature(head) is { Kind: OtherContentKind.Compressed } found ? found.Name : null);

    private static OtherContent? FindSignature(ReadOnlySpan<byte> head)
    {
        foreach (var (magic, content) in Signatures)
        {
            if (head.StartsWith(magic))
                return content;
        }

        return null;
    }

    // Method deflate, and no flag that is reserved.
    private static bool IsGzip(ReadOnlySpan<byte> head) =>
        head.Length > 3 && head.StartsWith((ReadOnlySpan<byte>)[0x1F, 0x8B, 8]) && (head[3] & 0xE0) == 0;

    // A block follows, or the end of an empty stream.
    private static bool IsBzip2(ReadOnlySpan<byte> head) =>
        head.Length >= 10 && head.StartsWith("BZh"u8) && head[3] is >= (byte)'1' and <= (byte)'9'
        && (head[4..].StartsWith((ReadOnlySpan<byte>)[0x31, 0x41, 0x59, 0x26, 0x53, 0x59])
            || head[4..].StartsWith((ReadOnlySpan<byte>)[0x17, 0x72, 0x45, 0x38, 0x50, 0x90]));

    // The usual properties, a dictionary of a power of two, and a length that is not known or below 2^40.
    private static bool IsLzma(ReadOnlySpan<byte> head)
    {
        if (head.Length < 14 || head[0] != 0x5D || head[13] != 0)
            return false;

        var dictionary = BinaryPrimitives.ReadUInt32LittleEndian(head[1..]);
        var length = BinaryPrimitives.ReadUInt64LittleEndian(head[5..]);
        return uint.IsPow2(dictionary) && dictionary >= 1 << 16
            && (length == ulong.MaxValue || length is > 0 and < 1UL << 40);
    }

    // Frames to skip may stand before the first frame of zstd, and of LZ4; beyond the head, zstd is assumed.
    private static string? FindFrames(ReadOnlySpan<byte> head)
    {
        var skipped = 0L;
        while (skipped <= head.Length - 4)
        {
            var frame = head[(int)skipped..];
            var magic = BinaryPrimitives.ReadUInt32LittleEndian(frame);
            if ((magic & ~0xFu) != SkippableMagic)
                return NameOf(magic) ?? (skipped > 0 ? "zstd" : null);

            if (frame.Length < 8)
                break;

            skipped += 8 + (long)BinaryPrimitives.ReadUInt32LittleEndian(frame[4..]);
        }

        return skipped > 0 ? "zstd" : null;
    }

    private static string? NameOf(uint magic) => magic switch
    {
        >= FirstZstdMagic and <= ZstdMagic => "zstd",
        Lz4Magic or Lz4LegacyMagic => "lz4",
        _ => null,
    };

    // A script of a version that loads the driver, in front of the compressed blocks.
    private static bool IsCloop(ReadOnlySpan<byte> head) =>
        head.StartsWith("#!/bin/sh\n#V"u8) && head[..Math.Min(head.Length, CloopHeadBytes)].IndexOf("cloop"u8) > 0;

    // The trailer says version 4 and its own length.
    private static bool IsDmg(ReadOnlySpan<byte> tail)
    {
        if (tail.Length < DmgTrailerBytes)
            return false;

        var trailer = tail[^DmgTrailerBytes..];
        return trailer.StartsWith("koly"u8)
            && BinaryPrimitives.ReadUInt32BigEndian(trailer[4..]) == 4
            && BinaryPrimitives.ReadUInt32BigEndian(trailer[8..]) == DmgTrailerBytes;
    }

    private static OtherContent Compressed(string name) => new(name, OtherContentKind.Compressed);

    private static OtherContent Image(string name) => new(name, OtherContentKind.Image);
}
