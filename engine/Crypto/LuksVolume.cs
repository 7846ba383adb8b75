using System.Buffers.Binary;
using System.Globalization;
using System.Text.Json;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Crypto;

/// <summary>Where the encrypted disk of a LUKS volume lies, versions 1 and 2. No key is needed to know it.</summary>
/// <param name="Offset">First byte of the disk in the file.</param>
/// <param name="Length">Bytes of the disk.</param>
public readonly record struct LuksVolume(long Offset, long Length)
{
    private const int VersionOffset = 6;
    private const int Version2HeaderBytesOffset = 8;
    private const int PayloadSectorOffset = 104;
    private const int SectorBytes = 512;
    private const int JsonOffset = 4096;
    private const int MaxVersion2HeaderBytes = 4 << 20; // the format's own limit
    private const int MaxJsonDepth = 16;

    /// <summary>Whether bytes start with a LUKS header.</summary>
    /// <param name="bytes">A file's first bytes.</param>
    public static bool HasMagic(ReadOnlySpan<byte> bytes) =>
        bytes.StartsWith((ReadOnlySpan<byte>)[0x4C, 0x55, 0x4B, 0x53, 0xBA, 0xBE]);

    /// <summary>Finds the disk.</summary>
    /// <param name="source">The volume's bytes.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException">No LUKS volume, of another version, or malformed.</exception>
    public static async ValueTask<LuksVolume> FindAsync(IByteSource source, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        var head = await FileHead.ReadAsync(source, 0, LuksHeader.Size, "LUKS header", cancellationToken)
            .ConfigureAwait(false);
        if (!HasMagic(head))
            throw new ImageFormatException(FormatError.BadMagic, "The file is not a LUKS volume.", 0);

        switch (BinaryPrimitives.ReadUInt16BigEndian(head.AsSpan(VersionOffset)))
        {
            case 1:
                var sector = BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(PayloadSectorOffset));
                return Inside(sector * (long)SectorBytes, null, source.Length);
            case 2:
                var bytes = BinaryPrimitives.ReadUInt64BigEndian(head.AsSpan(Version2HeaderBytesOffset));
                if (bytes is <= JsonOffset or > MaxVersion2HeaderBytes)
                    throw Malformed();

                var json = await FileHead.ReadAsync(
                    source, JsonOffset, (int)bytes - JsonOffset, "LUKS header", cancellationToken).ConfigureAwait(false);
                return Parse(json, source.Length);
            case var version:
                throw new ImageFormatException(
                    FormatError.UnsupportedVersion, $"LUKS version {version} is not supported.", VersionOffset);
        }
    }

    // {"segments": {"0": {"offset": "16777216", "size": "dynamic", …}}, …}, padded with NUL
    private static LuksVolume Parse(ReadOnlyMemory<byte> json, long fileLength)
    {
        var end = json.Span.IndexOf((byte)0);
        try
        {
            using var document = JsonDocument.Parse(
                end < 0 ? json : json[..end], new JsonDocumentOptions { MaxDepth = MaxJsonDepth });
            var segment = document.RootElement.GetProperty("segments").GetProperty("0");
            var size = segment.GetProperty("size").GetString();
            return Inside(
                Number(segment.GetProperty("offset").GetString()), size == "dynamic" ? null : Number(size), fileLength);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw Malformed();
        }
    }

    private static long Number(string? text) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : throw Malformed();

    private static LuksVolume Inside(long offset, long? length, long fileLength) =>
        offset < LuksHeader.Size || offset > fileLength || length > fileLength - offset
            ? throw new ImageFormatException(FormatError.OutsideFile, "The LUKS volume's disk lies outside the file.")
            : new LuksVolume(offset, length ?? fileLength - offset);

    private static ImageFormatException Malformed() =>
        new(FormatError.InvalidHeader, "The header of the LUKS volume is malformed.");
}
