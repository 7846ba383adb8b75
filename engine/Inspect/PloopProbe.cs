using Registry.Engine.Disks;
using Registry.Engine.Ploop;

namespace Registry.Engine.Inspect;

/// <summary>Ploop images that were closed: recognised and kept, never read.</summary>
internal sealed class PloopProbe : FormatProbe
{
    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Ploop;

    /// <inheritdoc/>
    public override bool Matches(in StreamSample sample) => PloopHeader.HasMagic(sample.Head);

    /// <inheritdoc/>
    public override long? Check(in StreamSample sample)
    {
        if (sample.EndsBefore(PloopHeader.Size))
            throw new ImageFormatException(FormatError.Truncated, "The image ends inside its ploop header.", 0);

        var header = PloopHeader.Parse(sample.Head);
        header.Validate();
        var size = RequireSize(header.DiskBytes);
        return sample.EndsBefore(header.BlockTableEnd)
            ? throw new ImageFormatException(
                FormatError.Truncated, "The image ends inside its ploop block table.", PloopHeader.Size)
            : size;
    }
}
