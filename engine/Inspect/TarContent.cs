namespace Registry.Engine.Inspect;

/// <summary>Recognises tar archives by the checksum of their first header, whichever program made them.</summary>
internal static class TarContent
{
    private const int BlockBytes = 512;
    private const int NameBytes = 100;
    private const int SizeOffset = 124;
    private const int ChecksumOffset = 148;
    private const int ChecksumBytes = 8;
    private const int TypeOffset = 156;
    private const int HeadersMax = 64;

    /// <summary>Whether bytes begin a tar archive, and whether it is an OVA: a descriptor is among its first files, as
    /// far as the head reaches.</summary>
    public static OtherContent? Find(ReadOnlySpan<byte> head)
    {
        if (!IsHeader(head))
            return null;

        for (var count = 0; count < HeadersMax && IsHeader(head); count++)
        {
            var name = head[..NameBytes];
            var end = name.IndexOf((byte)0);
            name = end < 0 ? name : name[..end];
            if (name.EndsWith(".ovf"u8) || name.EndsWith(".OVF"u8))
                return new OtherContent(OtherContent.Ova, OtherContentKind.Archive);

            // The file's bytes follow, padded to blocks.
            var fileBytes = ReadOctal(head.Slice(SizeOffset, 12)) ?? long.MaxValue / 2;
            var next = ((fileBytes + BlockBytes - 1) / BlockBytes * BlockBytes) + BlockBytes;
            head = next < head.Length ? head[(int)next..] : [];
        }

        return new OtherContent("tar", OtherContentKind.Archive);
    }

    // Sums of old programs count signed bytes.
    private static bool IsHeader(ReadOnlySpan<byte> head)
    {
        if (head.Length < BlockBytes || head[0] == 0
            || ReadOctal(head.Slice(ChecksumOffset, ChecksumBytes)) is not { } stated
            || !(head[TypeOffset] is 0 || char.IsAsciiLetterOrDigit((char)head[TypeOffset])))
            return false;

        var (plain, signed) = (0L, 0L);
        for (var i = 0; i < BlockBytes; i++)
        {
            var value = i is >= ChecksumOffset and < ChecksumOffset + ChecksumBytes ? (byte)' ' : head[i];
            plain += value;
            signed += (sbyte)value;
        }

        return stated > 0 && (stated == plain || stated == signed);
    }

    private static long? ReadOctal(ReadOnlySpan<byte> field)
    {
        var digits = field.Trim(" \0"u8);
        var value = 0L;
        foreach (var digit in digits)
        {
            if (digit is < (byte)'0' or > (byte)'7')
                return null;

            value = (value << 3) | (long)(digit - '0');
        }

        return digits.IsEmpty ? null : value;
    }
}
