using System.Buffers.Binary;
using System.IO.Compression;
using Registry.Storage.Domain;

namespace Registry.Api.Import;

/// <summary>The one file of a zip archive.</summary>
internal static class ZipMember
{
    /// <summary>Most bytes that are read to find the members.</summary>
    private const int DirectoryMax = 1 << 20;

    private const int HeaderBytes = 30;
    private const int FlagsOffset = 6;
    private const int MethodOffset = 8;
    private const int EncryptedFlag = 1;
    private const ushort Stored = 0;
    private const ushort Deflated = 8;
    private const ushort Deflated64 = 9;

    private static readonly Dictionary<ushort, string> MethodNames = new()
    {
        [1] = "shrink", [6] = "implode", [12] = "bzip2", [14] = "LZMA", [16] = "CMPSC", [18] = "TERSE", [19] = "LZ77",
        [20] = "zstd", [93] = "zstd", [95] = "xz", [97] = "WavPack", [98] = "PPMd", [99] = "AES encryption",
    };

    /// <summary>Opens what is in the archive's file.</summary>
    /// <param name="packed">The archive.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">ImageRejected: another number of files than one, or a method that is not
    /// supported.</exception>
    /// <exception cref="InvalidDataException">The archive is damaged.</exception>
    public static async Task<Stream> OpenAsync(StagedStream packed, CancellationToken cancellationToken)
    {
        await RequireMethodAsync(packed, cancellationToken);
        await packed.LoadEndAsync(DirectoryMax, cancellationToken);
        var archive = await ZipArchive.CreateAsync(
            packed, ZipArchiveMode.Read, leaveOpen: false, entryNameEncoding: null, cancellationToken);
        ZipArchiveEntry[] files = [.. archive.Entries.Where(entry => !entry.FullName.EndsWith('/'))];
        if (files is [var file])
        {
            return file.IsEncrypted ? throw Encrypted() : await file.OpenAsync(cancellationToken);
        }

        await archive.DisposeAsync();
        throw new RegistryException(
            ErrorCode.ImageRejected,
            $"A zip file is unpacked only when it has exactly one member; this one has {files.Length}.", "zip_members");
    }

    // The library does not name the method. The first header is that of the file, or of a folder.
    private static async Task RequireMethodAsync(StagedStream packed, CancellationToken cancellationToken)
    {
        var header = new byte[HeaderBytes];
        var read = await packed.ReadAtLeastAsync(header, header.Length, throwOnEndOfStream: false, cancellationToken);
        packed.Restart();
        if (read < header.Length || !header.AsSpan().StartsWith("PK\x3\x4"u8))
        {
            return;
        }

        if ((header[FlagsOffset] & EncryptedFlag) != 0)
        {
            throw Encrypted();
        }

        var method = BinaryPrimitives.ReadUInt16LittleEndian(header.AsSpan(MethodOffset));
        if (method is not (Stored or Deflated or Deflated64))
        {
            throw Compression.Unsupported($"zip with the method {MethodNames.GetValueOrDefault(method, $"{method}")}");
        }
    }

    private static RegistryException Encrypted() => Compression.Unsupported("zip with encryption");
}
