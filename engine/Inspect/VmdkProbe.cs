using Registry.Engine.Disks;
using Registry.Engine.Vmdk;

namespace Registry.Engine.Inspect;

/// <summary>VMDK: sparse extents in one file are accepted; descriptors on their own and ESX extents only
/// recognised.</summary>
internal sealed class VmdkProbe : FormatProbe
{
    // Footer marker, footer, end-of-stream marker: a sector each.
    private const int FooterFromEnd = 2 * VmdkHeader.SectorBytes;

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
            throw RefuseOthers(sample.Head);

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
        if (descriptor.ExtentSectors > header.CapacitySectors)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The VMDK descriptor and header contradict each other.", 12);
        }

        if (sample.Length is not null)
            CheckDirectory(sample, header);

        return (long)header.CapacitySectors * VmdkHeader.SectorBytes;
    }

    private static void CheckDirectory(in StreamSample sample, VmdkHeader header)
    {
        var counted = header.DirectoryOffset == VmdkHeader.DirectoryAtEnd ? CheckFooter(sample, header) : header;
        var lastSector = (ulong)(sample.Length!.Value / VmdkHeader.SectorBytes);
        if (counted.DirectoryOffset > lastSector
            || counted.DirectoryOffset * VmdkHeader.SectorBytes + counted.DirectoryBytes > (ulong)sample.Length.Value)
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, "The VMDK grain directory lies outside the file.", 56);
        }
    }

    // The footer takes the header's place for readers that seek: it may say nothing else than where the directory is.
    private static VmdkHeader CheckFooter(in StreamSample sample, VmdkHeader header)
    {
        if (sample.Tail.Length < FooterFromEnd || !VmdkHeader.HasMagic(sample.Tail[^FooterFromEnd..]))
            throw new ImageFormatException(FormatError.Truncated, "The VMDK does not end with its footer.");

        var footer = VmdkHeader.Parse(sample.Tail[^FooterFromEnd..]);
        var expected = header with
        {
            DirectoryOffset = footer.DirectoryOffset,
            RedundantDirectoryOffset = footer.RedundantDirectoryOffset,
        };
        return footer == expected && footer.DirectoryOffset != VmdkHeader.DirectoryAtEnd
            ? footer
            : throw new ImageFormatException(
                FormatError.InvalidHeader, "The VMDK footer and header contradict each other.");
    }

    private static ImageFormatException RefuseOthers(ReadOnlySpan<byte> head) => head.StartsWith("COWD"u8)
        ? new ImageFormatException(FormatError.UnsupportedFeature, "ESX sparse extents are not accepted.", 0)
        : new ImageFormatException(
            FormatError.DataFileRefused, "A VMDK descriptor on its own describes other files.", 0);
}
