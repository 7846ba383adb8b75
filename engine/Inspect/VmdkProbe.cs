using Registry.Engine.Disks;
using Registry.Engine.Vmdk;

namespace Registry.Engine.Inspect;

/// <summary>VMDK: sparse extents in one file are accepted; descriptors on their own and ESX extents only
/// recognised.</summary>
internal sealed class VmdkProbe : FormatProbe
{
    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Vmdk;

    /// <inheritdoc/>
    public override int HeadBytes(ReadOnlySpan<byte> head)
    {
        if (!VmdkHeader.HasMagic(head))
            return 0;

        var header = VmdkHeader.Parse(head);
        return header.DescriptorSectors < (1 << 20) / VmdkHeader.SectorBytes
            ? VmdkHeader.Size + header.DescriptorBytes : 0;
    }

    /// <inheritdoc/>
    public override bool Matches(in StreamSample sample) =>
        VmdkHeader.HasMagic(sample.Head) || sample.Head.StartsWith("COWD"u8)
            || VmdkDescriptor.IsStandalone(sample.Head);

    /// <inheritdoc/>
    public override long? Check(in StreamSample sample)
    {
        if (!VmdkHeader.HasMagic(sample.Head))
            throw VmdkDescriptor.RefuseOthers(sample.Head);

        if (sample.EndsBefore(VmdkHeader.Size))
            throw new ImageFormatException(FormatError.Truncated, "The image ends inside its VMDK header.", 0);

        var header = VmdkHeader.Parse(sample.Head);
        header.Validate();
        var descriptorEnd = VmdkHeader.Size + header.DescriptorBytes;
        if (sample.EndsBefore(descriptorEnd))
        {
            throw new ImageFormatException(
                FormatError.Truncated, "The image ends inside its VMDK descriptor.", VmdkHeader.Size);
        }

        if (sample.Head.Length < descriptorEnd)
            return null;

        var descriptor = VmdkDescriptor.Parse(sample.Head[VmdkHeader.Size..descriptorEnd]);
        header.RequireHolds(descriptor);
        if (sample.Length is { } length)
        {
            var counted = header.DirectoryOffset == VmdkHeader.DirectoryAtEnd
                ? header.WithFooter(sample.Tail)
                : header;
            counted.RequireDirectoryInside(length);
        }

        return (long)header.CapacitySectors * VmdkHeader.SectorBytes;
    }
}
