using Registry.Engine.Disks;
using Registry.Engine.Vdi;

namespace Registry.Engine.Inspect;

/// <summary>VirtualBox disk images that stand alone.</summary>
internal sealed class VdiProbe : FormatProbe
{
    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Vdi;

    /// <inheritdoc/>
    public override bool Matches(in StreamSample sample) => VdiHeader.HasMagic(sample.Head);

    /// <inheritdoc/>
    public override long? Check(in StreamSample sample)
    {
        if (sample.EndsBefore(VdiHeader.Size))
            throw new ImageFormatException(FormatError.Truncated, "The image ends inside its VDI header.", 0);

        var header = VdiHeader.Parse(sample.Head);
        header.Validate();
        var size = RequireSize(header.DiskBytes);
        if (sample.EndsBefore(header.BlockMapEnd))
        {
            throw new ImageFormatException(
                FormatError.Truncated, "The image ends inside its VDI block map.", header.BlockMapOffset);
        }

        return size;
    }
}
