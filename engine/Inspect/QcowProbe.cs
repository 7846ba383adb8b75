using System.Buffers.Binary;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Engine.Inspect;

/// <summary>qcow2 images that stand alone: the header and its extensions. The tables are judged when the image is
/// mapped.</summary>
internal sealed class QcowProbe : FormatProbe
{
    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Qcow2;

    /// <inheritdoc/>
    public override bool Matches(in StreamSample sample) => QcowHeader.HasMagic(sample.Head);

    /// <inheritdoc/>
    public override long? Check(in StreamSample sample)
    {
        var header = QcowHeader.Parse(sample.Head);

        // What the image refers to is refused first: it is the reason that users need to see.
        if (header.BackingNameOffset != 0)
        {
            throw new ImageFormatException(
                FormatError.BackingFileRefused, "The image has a backing file, which is not allowed here.", 8);
        }

        if (header.Incompatible.HasFlag(QcowIncompatible.DataFile))
            throw DataFileRefused();

        header.Validate(Limits.Strict, sample.Length ?? long.MaxValue);
        var area = sample.Head[..Math.Min(sample.Head.Length, header.ClusterSize)];
        var extensions = QcowHeaderExtensions.Parse(area, header);
        if (extensions.DataFileName is not null)
            throw DataFileRefused();

        QcowFeatureCheck.Refuse(header, extensions, Limits.Strict);
        RequireEndInside(area, header);
        return header.VirtualSize;
    }

    // Extensions behind what is kept of a large first cluster would go unseen.
    private static void RequireEndInside(ReadOnlySpan<byte> area, in QcowHeader header)
    {
        if (area.Length == header.ClusterSize)
            return;

        var position = (long)header.HeaderLength;
        while (position + 8 <= area.Length)
        {
            var record = area[(int)position..];
            if (BinaryPrimitives.ReadUInt32BigEndian(record) == 0)
                return;
            position += 8 + ((BinaryPrimitives.ReadUInt32BigEndian(record[4..]) + 7L) & ~7L);
        }

        throw new ImageFormatException(
            FormatError.InvalidExtension, $"The header extensions do not end within {area.Length} bytes.", area.Length);
    }

    private static ImageFormatException DataFileRefused() => new(
        FormatError.DataFileRefused, "The image has an external data file, which is not allowed here.", 72);
}
