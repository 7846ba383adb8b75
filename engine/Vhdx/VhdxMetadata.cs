using System.Buffers.Binary;
using System.Numerics;
using Registry.Engine.Disks;

namespace Registry.Engine.Vhdx;

/// <summary>The metadata items of a VHDX that say what the disk is. Little-endian.</summary>
/// <param name="BlockBytes">Guest bytes in a block: a power of two, 1 to 256 MiB.</param>
/// <param name="HasParent">Whether the image holds the changes to another one.</param>
/// <param name="DiskBytes">Virtual size in bytes.</param>
/// <param name="SectorBytes">Logical sector size in bytes: 512 or 4096.</param>
internal readonly record struct VhdxMetadata(uint BlockBytes, bool HasParent, ulong DiskBytes, uint SectorBytes)
{
    /// <summary>Bytes of the metadata region that are read: the table and the items behind it.</summary>
    public const int Size = 128 * 1024;

    private const int TableSize = 64 * 1024;
    private const int EntriesOffset = 32;
    private const int EntrySize = 32;
    private const int MaxEntries = 2047;
    private const uint RequiredFlag = 4;
    private const ulong MaxDiskBytes = 64UL << 40;
    private static readonly Guid FileParametersId = new("caa16737-fa36-4d43-b3b6-33f0aa44e76b");
    private static readonly Guid DiskSizeId = new("2fa54224-cd1b-4876-b211-5dbed83bf4b8");
    private static readonly Guid DiskIdentityId = new("beca12ab-b2e6-4523-93ef-c309e000c746");
    private static readonly Guid LogicalSectorId = new("8141bf1d-a96f-4709-ba47-f233a8faab5f");
    private static readonly Guid PhysicalSectorId = new("cda348c7-445d-4471-9cc9-e9885251c556");
    private static readonly Guid ParentLocatorId = new("a8d35f2d-b30b-454d-abf7-d3d84834ab0c");

    /// <summary>Reads the items.</summary>
    /// <param name="region">The first <see cref="Size"/> bytes of the metadata region.</param>
    /// <exception cref="ImageFormatException">Refused.</exception>
    public static VhdxMetadata Parse(ReadOnlySpan<byte> region)
    {
        var count = BinaryPrimitives.ReadUInt16LittleEndian(region[10..]);
        if (!region.StartsWith("metadata"u8))
            throw new ImageFormatException(FormatError.BadMagic, "The VHDX metadata has no signature.");

        if (count > MaxEntries)
        {
            throw new ImageFormatException(
                FormatError.TableTooLarge, $"A VHDX metadata table of {count} entries is too large.");
        }

        var metadata = new VhdxMetadata();
        var hasSize = false;
        for (var i = 0; i < count; i++)
        {
            var entry = region.Slice(EntriesOffset + (i * EntrySize), EntrySize);
            var id = new Guid(entry[..16]);
            if (id == FileParametersId)
            {
                var item = Item(region, entry, 8);
                metadata = metadata with
                {
                    BlockBytes = BinaryPrimitives.ReadUInt32LittleEndian(item),
                    HasParent = metadata.HasParent || (item[4] & 2) != 0,
                };
            }
            else if (id == DiskSizeId)
            {
                hasSize = true;
                metadata = metadata with
                {
                    DiskBytes = BinaryPrimitives.ReadUInt64LittleEndian(
                    Item(region, entry, 8))
                };
            }
            else if (id == LogicalSectorId)
            {
                metadata = metadata with
                {
                    SectorBytes = BinaryPrimitives.ReadUInt32LittleEndian(
                    Item(region, entry, 4))
                };
            }
            else if (id == ParentLocatorId)
            {
                metadata = metadata with { HasParent = true };
            }
            else if (id != DiskIdentityId && id != PhysicalSectorId
                && (BinaryPrimitives.ReadUInt32LittleEndian(entry[24..]) & RequiredFlag) != 0)
            {
                throw new ImageFormatException(
                    FormatError.UnknownFeature, $"The VHDX requires an unknown metadata item {id}.");
            }
        }

        return hasSize
            ? metadata
            : throw new ImageFormatException(FormatError.InvalidHeader, "The VHDX does not tell the disk's size.");
    }

    /// <summary>Refuses what is malformed or builds on another image.</summary>
    /// <exception cref="ImageFormatException">Refused.</exception>
    public void Validate()
    {
        if (HasParent)
        {
            throw new ImageFormatException(
                FormatError.BackingFileRefused, "The VHDX holds the changes to a parent, which is not allowed here.");
        }

        if (!BitOperations.IsPow2(BlockBytes) || BlockBytes is < (1 << 20) or > (256 << 20))
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, $"A VHDX block size of {BlockBytes} bytes is not legal.");
        }

        if (SectorBytes is not (512 or 4096))
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, $"A VHDX sector size of {SectorBytes} bytes is not legal.");
        }

        if (DiskBytes > MaxDiskBytes)
        {
            throw new ImageFormatException(
                FormatError.VirtualSizeTooLarge, $"A VHDX of {DiskBytes} bytes is not legal.");
        }

        if (DiskBytes % SectorBytes != 0)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The VHDX disk is not a whole number of sectors.");
        }
    }

    private static ReadOnlySpan<byte> Item(ReadOnlySpan<byte> region, ReadOnlySpan<byte> entry, int size)
    {
        var offset = BinaryPrimitives.ReadUInt32LittleEndian(entry[16..]);
        var length = BinaryPrimitives.ReadUInt32LittleEndian(entry[20..]);
        if (offset < TableSize || offset > region.Length - size || length < size)
            throw new ImageFormatException(FormatError.InvalidTableEntry, "A VHDX metadata item is out of place.");

        return region.Slice((int)offset, size);
    }
}
