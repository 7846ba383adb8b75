using System.Buffers.Binary;
using System.Numerics;
using Registry.Engine.Disks;

namespace Registry.Engine.Vmdk;

/// <summary>The header of a VMDK sparse extent. Little-endian; lengths and offsets count sectors of 512
/// bytes.</summary>
/// <param name="Version">1 to 3.</param>
/// <param name="Flags">Bit 16: grains are compressed; bit 17: grains have markers.</param>
/// <param name="CapacitySectors">Virtual size.</param>
/// <param name="GrainSectors">Guest sectors in a grain, a power of two.</param>
/// <param name="DescriptorOffset">First sector of the embedded descriptor.</param>
/// <param name="DescriptorSectors">Length of the embedded descriptor.</param>
/// <param name="TableEntries">Entries of one grain table.</param>
/// <param name="RedundantDirectoryOffset">First sector of the second grain directory.</param>
/// <param name="DirectoryOffset">First sector of the grain directory; all ones: see the footer.</param>
/// <param name="OverheadSectors">Sectors in front of the first grain.</param>
/// <param name="Compression">0 none, 1 deflate.</param>
internal readonly record struct VmdkHeader(
    uint Version, uint Flags, ulong CapacitySectors, ulong GrainSectors, ulong DescriptorOffset,
    ulong DescriptorSectors, uint TableEntries, ulong RedundantDirectoryOffset, ulong DirectoryOffset,
    ulong OverheadSectors, ushort Compression)
{
    /// <summary>Size in bytes.</summary>
    public const int Size = 512;

    /// <summary>Bytes in a sector.</summary>
    public const int SectorBytes = 512;

    /// <summary>Grain directory offset that sends the reader to the footer.</summary>
    public const ulong DirectoryAtEnd = ulong.MaxValue;

    /// <summary>Bytes at the end of a file whose directory is there: marker, footer, end-of-stream marker.</summary>
    public const int FooterBytes = 3 * SectorBytes;

    private const uint FlagZeroedGrains = 1 << 2;
    private const uint FlagMarkers = 1 << 17;

    // QEMU's limits.
    private const ulong MaxGrainSectors = 0x200000;
    private const ulong MaxDescriptorSectors = (1 << 20) / SectorBytes;
    private const uint MaxTableEntries = 512;

    /// <summary>Bytes of the grain directory.</summary>
    public ulong DirectoryBytes
    {
        get
        {
            var tableSectors = GrainSectors * TableEntries;
            return ((CapacitySectors / tableSectors) + (CapacitySectors % tableSectors == 0 ? 0UL : 1)) * sizeof(uint);
        }
    }

    /// <summary>Whether table entry 1 stands for a grain of zeroes.</summary>
    public bool HasZeroedGrains => (Flags & FlagZeroedGrains) != 0;

    /// <summary>Whether each compressed grain has its guest sector and length in front.</summary>
    public bool HasMarkers => (Flags & FlagMarkers) != 0;

    /// <summary>Bytes of the embedded descriptor.</summary>
    public int DescriptorBytes => (int)DescriptorSectors * SectorBytes;

    /// <summary>Whether bytes start with a sparse extent's header.</summary>
    public static bool HasMagic(ReadOnlySpan<byte> bytes) => bytes.StartsWith("KDMV"u8);

    /// <summary>Reads a header.</summary>
    /// <param name="bytes">At least <see cref="Size"/> bytes.</param>
    public static VmdkHeader Parse(ReadOnlySpan<byte> bytes) => new(
        Version: BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]),
        Flags: BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]),
        CapacitySectors: BinaryPrimitives.ReadUInt64LittleEndian(bytes[12..]),
        GrainSectors: BinaryPrimitives.ReadUInt64LittleEndian(bytes[20..]),
        DescriptorOffset: BinaryPrimitives.ReadUInt64LittleEndian(bytes[28..]),
        DescriptorSectors: BinaryPrimitives.ReadUInt64LittleEndian(bytes[36..]),
        TableEntries: BinaryPrimitives.ReadUInt32LittleEndian(bytes[44..]),
        RedundantDirectoryOffset: BinaryPrimitives.ReadUInt64LittleEndian(bytes[48..]),
        DirectoryOffset: BinaryPrimitives.ReadUInt64LittleEndian(bytes[56..]),
        OverheadSectors: BinaryPrimitives.ReadUInt64LittleEndian(bytes[64..]),
        Compression: BinaryPrimitives.ReadUInt16LittleEndian(bytes[77..]));

    /// <summary>Refuses what is malformed or too large.</summary>
    /// <exception cref="ImageFormatException">Refused.</exception>
    public void Validate()
    {
        if (Version is < 1 or > 3)
        {
            throw new ImageFormatException(
                FormatError.UnsupportedVersion, $"VMDK version {Version} is not supported.", 4);
        }

        if (CapacitySectors > (ulong)Limits.Strict.MaxVirtualSizeBytes / SectorBytes)
        {
            throw new ImageFormatException(
                FormatError.VirtualSizeTooLarge,
                $"A virtual size of {CapacitySectors} sectors is beyond the limit.", 12);
        }

        if (!BitOperations.IsPow2(GrainSectors) || GrainSectors is < 8 or > MaxGrainSectors)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, $"A VMDK grain of {GrainSectors} sectors is not legal.", 20);
        }

        if (TableEntries is 0 or > MaxTableEntries)
        {
            throw new ImageFormatException(
                FormatError.TableTooLarge, $"A VMDK grain table of {TableEntries} entries is not legal.", 44);
        }

        if (DescriptorOffset != 1)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The VMDK descriptor is not behind the header.", 28);
        }

        if (DescriptorSectors is 0 or >= MaxDescriptorSectors)
        {
            throw new ImageFormatException(
                FormatError.TableTooLarge, $"A VMDK descriptor of {DescriptorSectors} sectors is not legal.", 36);
        }

        if (DirectoryBytes > (ulong)Limits.Strict.MaxL1Bytes)
        {
            throw new ImageFormatException(
                FormatError.TableTooLarge, $"The VMDK grain directory of {DirectoryBytes} bytes is too large.", 12);
        }

        if (Compression > 1)
        {
            throw new ImageFormatException(
                FormatError.UnsupportedFeature, $"VMDK compression {Compression} is not supported.", 77);
        }
    }

    /// <summary>Takes the directory's place from the footer, which may say nothing else than that: it takes the
    /// header's place for readers that seek.</summary>
    /// <param name="end">The file's last <see cref="FooterBytes"/> bytes, or all of it.</param>
    /// <exception cref="ImageFormatException">There is no footer, or it says something else.</exception>
    public VmdkHeader WithFooter(ReadOnlySpan<byte> end)
    {
        if (end.Length < FooterBytes || !HasMagic(end[^(2 * SectorBytes)..]))
            throw new ImageFormatException(FormatError.Truncated, "The VMDK does not end with its footer.");

        var footer = Parse(end[^(2 * SectorBytes)..]);
        var expected = this with
        {
            DirectoryOffset = footer.DirectoryOffset,
            RedundantDirectoryOffset = footer.RedundantDirectoryOffset,
        };
        return footer == expected && footer.DirectoryOffset != DirectoryAtEnd
            ? footer
            : throw new ImageFormatException(
                FormatError.InvalidHeader, "The VMDK footer and header contradict each other.");
    }

    /// <summary>Refuses a directory that the file does not hold.</summary>
    /// <exception cref="ImageFormatException">It lies outside the file.</exception>
    public void RequireDirectoryInside(long fileLength)
    {
        if (DirectoryOffset > (ulong)(fileLength / SectorBytes)
            || (DirectoryOffset * SectorBytes) + DirectoryBytes > (ulong)fileLength)
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, "The VMDK grain directory lies outside the file.", 56);
        }
    }

    /// <summary>Refuses a descriptor of a larger disk.</summary>
    /// <exception cref="ImageFormatException">They contradict each other.</exception>
    public void RequireHolds(VmdkDescriptor descriptor)
    {
        if (descriptor.ExtentSectors > CapacitySectors)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The VMDK descriptor and header contradict each other.", 12);
        }
    }
}
