using System.IO.Compression;
using Registry.Storage.Domain;
using SharpCompress.Compressors.Xz;
using ZstdSharp;
using ZstdSharp.Unsafe;
using BZip2Stream = SharpCompress.Compressors.BZip2.BZip2Stream;

namespace Registry.Api.Import;

/// <summary>The compressions that imports unpack, recognised by how they begin.</summary>
internal static class Compression
{
    /// <summary>Bytes that <see cref="Find"/> needs.</summary>
    public const int HeadBytes = 10;

    /// <summary>Largest window of a zstd frame, as a power of two: 128 MiB, what zstd itself takes unasked.</summary>
    private const int ZstdWindowLogMax = 27;

    /// <summary>Most bytes that are read to find the members of a zip file.</summary>
    private const int ZipDirectoryMax = 1 << 20;

    private const int BufferBytes = 256 << 10;

    // Compressed bytes that are unpacked from memory.
    private const int LoadedMax = 4 << 20;

    /// <summary>Names the compression of bytes by their head; null when there is none.</summary>
    public static string? Find(ReadOnlySpan<byte> head) =>
        head.StartsWith((ReadOnlySpan<byte>)[0x1f, 0x8b, 0x08]) ? "gzip"
        : head.StartsWith((ReadOnlySpan<byte>)[0x28, 0xb5, 0x2f, 0xfd]) ? "zstd"
        : head.StartsWith((ReadOnlySpan<byte>)[0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]) ? "xz"
        : head.Length >= HeadBytes && head.StartsWith("BZh"u8) && head[3] is >= (byte)'1' and <= (byte)'9'
            && head[4..].StartsWith((ReadOnlySpan<byte>)[0x31, 0x41, 0x59, 0x26, 0x53, 0x59]) ? "bzip2"
        : head.StartsWith("PK\x3\x4"u8) ? "zip"
        : null;

    /// <summary>Opens what is inside.</summary>
    /// <param name="name">From <see cref="Find"/>.</param>
    /// <param name="packed">The compressed bytes, at their beginning.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">ImageRejected: a zip file with another number of members than one.</exception>
    /// <exception cref="InvalidDataException">The bytes are damaged, or ask for too much memory.</exception>
    public static async Task<Stream> OpenAsync(string name, StagedStream packed, CancellationToken cancellationToken)
    {
        switch (name)
        {
            case "gzip":
                return new GZipStream(packed, CompressionMode.Decompress);
            case "zstd":
                var zstd = new DecompressionStream(packed, BufferBytes);
                zstd.SetParameter(ZSTD_dParameter.ZSTD_d_windowLogMax, ZstdWindowLogMax);
                return zstd;
            case "xz":
                await XzLayout.CheckAsync(packed, cancellationToken);
                packed.Restart();
                return packed.Length <= LoadedMax
                    ? new InlineStream(new XZStream(new BufferedStream(await packed.LoadAsync(cancellationToken), BufferBytes)))
                    : new XZStream(new BufferedStream(packed, BufferBytes));
            case "bzip2" when packed.Length <= LoadedMax:
                return new InlineStream(BZip2Stream.Create(
                    new BufferedStream(await packed.LoadAsync(cancellationToken), BufferBytes),
                    SharpCompress.Compressors.CompressionMode.Decompress, decompressConcatenated: true, leaveOpen: false));
            case "bzip2":
                return await BZip2Stream.CreateAsync(
                    new BufferedStream(packed, BufferBytes), SharpCompress.Compressors.CompressionMode.Decompress,
                    decompressConcatenated: true, leaveOpen: false, cancellationToken: cancellationToken);
            default:
                return await OpenZipAsync(packed, cancellationToken);
        }
    }

    private static async Task<Stream> OpenZipAsync(StagedStream packed, CancellationToken cancellationToken)
    {
        await packed.LoadEndAsync(ZipDirectoryMax, cancellationToken);
        var archive = await ZipArchive.CreateAsync(
            packed, ZipArchiveMode.Read, leaveOpen: false, entryNameEncoding: null, cancellationToken);
        if (archive.Entries is not [var entry])
        {
            var members = archive.Entries.Count;
            await archive.DisposeAsync();
            throw new RegistryException(
                ErrorCode.ImageRejected,
                $"A zip file is unpacked only when it has exactly one member; this one has {members}.",
                "zip_members");
        }

        var member = await entry.OpenAsync(cancellationToken);
        return member;
    }
}
