using System.Buffers.Binary;
using Registry.Engine.Disks;

namespace Registry.Engine.Inspect;

/// <summary>ISO 9660 and UDF discs, by the first volume descriptor.</summary>
internal sealed class IsoProbe : FormatProbe
{
    private const int DescriptorOffset = 16 * 2048;
    private const int DescriptorSize = 2048;
    private const int IdentifierOffset = 1;
    private const int VolumeBlocksOffset = 80;
    private const int BlockBytesOffset = 128;
    private const byte PrimaryVolumeDescriptor = 1;

    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Iso;

    /// <inheritdoc/>
    public override bool Matches(in StreamSample sample)
    {
        if (sample.Head.Length < DescriptorOffset + IdentifierOffset + 5)
            return false;

        var identifier = sample.Head.Slice(DescriptorOffset + IdentifierOffset, 5);
        return identifier.SequenceEqual("CD001"u8) || identifier.SequenceEqual("BEA01"u8)
            || identifier.SequenceEqual("NSR02"u8) || identifier.SequenceEqual("NSR03"u8);
    }

    /// <inheritdoc/>
    public override long? Check(in StreamSample sample)
    {
        if (sample.EndsBefore(DescriptorOffset + DescriptorSize))
        {
            throw new ImageFormatException(
                FormatError.Truncated, "The disc ends inside its volume descriptor.", DescriptorOffset);
        }

        var descriptor = sample.Head.Slice(DescriptorOffset, DescriptorSize);
        if (descriptor[0] != PrimaryVolumeDescriptor || !descriptor.Slice(IdentifierOffset, 5).SequenceEqual("CD001"u8))
            return sample.Length;

        var blocks = BinaryPrimitives.ReadUInt32LittleEndian(descriptor[VolumeBlocksOffset..]);
        var blockBytes = BinaryPrimitives.ReadUInt16LittleEndian(descriptor[BlockBytesOffset..]);
        return RequireSize((ulong)blocks * blockBytes);
    }
}
