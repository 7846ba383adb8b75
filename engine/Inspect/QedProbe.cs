using Registry.Engine.Disks;
using Registry.Engine.Qed;

namespace Registry.Engine.Inspect;

/// <summary>QEMU enhanced disk: recognised in order to be refused.</summary>
internal sealed class QedProbe : FormatProbe
{
    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Qed;

    /// <inheritdoc/>
    public override bool Matches(in StreamSample sample) => QedHeader.HasMagic(sample.Head);

    /// <inheritdoc/>
    public override long? Check(in StreamSample sample) =>
        throw new ImageFormatException(FormatError.FormatBanned, "QED images are not accepted.", 0);
}
