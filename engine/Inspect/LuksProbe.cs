using System.Buffers.Binary;
using Registry.Engine.Disks;

namespace Registry.Engine.Inspect;

/// <summary>LUKS volumes: version 1 with a real cipher.</summary>
internal sealed class LuksProbe : FormatProbe
{
    private const int HeaderSize = 592;
    private const int VersionOffset = 6;
    private const int CipherOffset = 8;
    private const int PayloadSectorOffset = 104;
    private const int SectorBytes = 512;

    private static ReadOnlySpan<byte> Magic => [(byte)'L', (byte)'U', (byte)'K', (byte)'S', 0xBA, 0xBE];

    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Luks;

    /// <inheritdoc/>
    public override bool Matches(in StreamSample sample) => sample.Head.StartsWith(Magic);

    /// <inheritdoc/>
    public override long? Check(in StreamSample sample)
    {
        if (sample.EndsBefore(HeaderSize))
            throw new ImageFormatException(FormatError.Truncated, "The volume ends inside its LUKS header.", 0);

        var version = BinaryPrimitives.ReadUInt16BigEndian(sample.Head[VersionOffset..]);
        if (version != 1)
        {
            throw new ImageFormatException(
                FormatError.UnsupportedVersion,
                $"LUKS version {version} is not accepted, only version 1.", VersionOffset);
        }

        var cipher = sample.Head.Slice(CipherOffset, 32);
        if (cipher[0] == 0 || cipher.IndexOf("null"u8) >= 0)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The LUKS header names no real cipher.", CipherOffset);
        }

        var payload = (long)BinaryPrimitives.ReadUInt32BigEndian(sample.Head[PayloadSectorOffset..]) * SectorBytes;
        if (payload < HeaderSize)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The LUKS payload lies on its header.", PayloadSectorOffset);
        }

        if (sample.EndsBefore(payload))
        {
            throw new ImageFormatException(
                FormatError.Truncated, "The volume ends before its LUKS payload.", PayloadSectorOffset);
        }

        return sample.Length - payload;
    }
}
