using Registry.Engine.Disks;
using Registry.Engine.Vhdx;

namespace Registry.Engine.Inspect;

/// <summary>VHDX images that stand alone and were closed.</summary>
internal sealed class VhdxProbe : FormatProbe
{
    private const int HeaderAreaBytes = VhdxRegionTable.FileOffset + VhdxRegionTable.Size;

    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Vhdx;

    /// <inheritdoc/>
    public override int HeadBytes(ReadOnlySpan<byte> head) => HasMagic(head) ? HeaderAreaBytes : 0;

    /// <inheritdoc/>
    public override StreamRange Region(ReadOnlySpan<byte> head)
    {
        if (!HasMagic(head) || head.Length < HeaderAreaBytes)
            return default;

        try
        {
            var table = VhdxRegionTable.Parse(head[VhdxRegionTable.FileOffset..]);
            return new StreamRange(table.Metadata.End - table.Metadata.Length, VhdxMetadata.Size);
        }
        catch (ImageFormatException)
        {
            // Check reports it.
            return default;
        }
    }

    /// <inheritdoc/>
    public override bool Matches(in StreamSample sample) => HasMagic(sample.Head);

    /// <inheritdoc/>
    public override long? Check(in StreamSample sample)
    {
        if (sample.EndsBefore(HeaderAreaBytes))
            throw new ImageFormatException(FormatError.Truncated, "The image ends inside its VHDX headers.", 0);

        if (sample.Head.Length < HeaderAreaBytes)
            return null;

        VhdxHeader.ParseCurrent(sample.Head).Validate();
        var table = VhdxRegionTable.Parse(sample.Head[VhdxRegionTable.FileOffset..]);
        if (sample.EndsBefore(table.Metadata.End) || sample.EndsBefore(table.BlockTable.End))
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, "A VHDX region lies outside the file.", VhdxRegionTable.FileOffset);
        }

        if (sample.Region.IsEmpty)
            return null;

        var metadata = VhdxMetadata.Parse(sample.Region);
        metadata.Validate();
        return RequireSize(metadata.DiskBytes);
    }

    private static bool HasMagic(ReadOnlySpan<byte> head) => head.StartsWith("vhdxfile"u8);
}
