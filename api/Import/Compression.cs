using System.IO.Compression;
using Registry.Engine.Inspect;
using Registry.Storage.Domain;
using ZstdSharp;
using ZstdSharp.Unsafe;
using BZip2Stream = SharpCompress.Compressors.BZip2.BZip2Stream;

namespace Registry.Api.Import;

/// <summary>The compressions that imports unpack, recognised by how they begin.</summary>
internal static class Compression
{
    /// <summary>Bytes that <see cref="Find"/> needs.</summary>
    public const int HeadBytes = 4096;

    /// <summary>Reason of a refusal: sound data in a way of compressing that is not supported.</summary>
    public const string UnsupportedReason = "compression_unsupported";

    /// <summary>Largest window of a zstd frame, as a power of two: 128 MiB, what zstd itself takes unasked.</summary>
    private const int ZstdWindowLogMax = 27;

    private const int BufferBytes = 256 << 10;

    // Compressed bytes that are unpacked from memory.
    private const int LoadedMax = 4 << 20;

    /// <summary>Names the compression of bytes by their head; null when there is none that is unpacked.</summary>
    public static string? Find(ReadOnlySpan<byte> head) =>
        OtherContents.FindCompression(head) is "gzip" or "zstd" or "xz" or "bzip2" or "zip"
            ? OtherContents.FindCompression(head)
            : null;

    /// <summary>Opens what is inside.</summary>
    /// <param name="name">From <see cref="Find"/>.</param>
    /// <param name="packed">The compressed bytes, at their beginning.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">ImageRejected: a zip file with another number of members than one, or a way
    /// of compressing that is not supported.</exception>
    /// <exception cref="InvalidDataException">The bytes are damaged.</exception>
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
                var isInMemory = packed.Length <= LoadedMax;
                var bytes = isInMemory ? await packed.LoadAsync(cancellationToken) : packed;
                return new XzStreams(new BufferedStream(bytes, BufferBytes), isInMemory);
            case "bzip2" when packed.Length <= LoadedMax:
                return new InlineStream(BZip2Stream.Create(
                    new BufferedStream(await packed.LoadAsync(cancellationToken), BufferBytes),
                    SharpCompress.Compressors.CompressionMode.Decompress, decompressConcatenated: true, leaveOpen: false));
            case "bzip2":
                return await BZip2Stream.CreateAsync(
                    new BufferedStream(packed, BufferBytes), SharpCompress.Compressors.CompressionMode.Decompress,
                    decompressConcatenated: true, leaveOpen: false, cancellationToken: cancellationToken);
            default:
                return await ZipMember.OpenAsync(packed, cancellationToken);
        }
    }

    /// <summary>What an exception of a library says of the bytes that it unpacked.</summary>
    /// <param name="exception">What it threw.</param>
    /// <returns>The refusal.</returns>
    public static RegistryException Refusal(Exception exception) => exception switch
    {
        RegistryException refusal => refusal,
        ZstdException { Code: var code } when ZstdLimit(code) is { } limit => Unsupported($"zstd {limit}"),
        NotSupportedException => Unsupported(exception.Message, exception),
        _ => new RegistryException(
            ErrorCode.ImageRejected, $"The compressed data is damaged: {exception.Message}", "compressed_damaged",
            exception),
    };

    private static string? ZstdLimit(ZSTD_ErrorCode code) => code switch
    {
        ZSTD_ErrorCode.ZSTD_error_dictionary_wrong => "with a dictionary of its own",
        ZSTD_ErrorCode.ZSTD_error_version_unsupported or ZSTD_ErrorCode.ZSTD_error_prefix_unknown =>
            "of a version before 1.0, or with something else after it",
        ZSTD_ErrorCode.ZSTD_error_frameParameter_windowTooLarge =>
            $"with a window of more than {1 << (ZstdWindowLogMax - 20)} MiB",
        _ => null,
    };

    /// <summary>The refusal of sound data that is compressed in a way that is not supported.</summary>
    /// <param name="what">The way, and what to do about it.</param>
    /// <param name="cause">What a library said; null for nothing.</param>
    public static RegistryException Unsupported(string what, Exception? cause = null) => new(
        ErrorCode.ImageRejected, $"The compressed data cannot be unpacked here: {what}", UnsupportedReason, cause);
}
