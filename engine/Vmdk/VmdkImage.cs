using System.Buffers;
using System.Buffers.Binary;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Vmdk;

/// <summary>An open VMDK that stands alone in one file: monolithicSparse, or streamOptimized with its grains
/// compressed.</summary>
/// <remarks>Disks of other types keep their data in other files and are refused by name. The second grain directory
/// is for repairs and is not looked at.</remarks>
public sealed partial class VmdkImage : BlockImage
{
    // QEMU takes any size; every program writes 64 KiB.
    private const long MaxCompressedGrainBytes = 2 << 20;

    private const int ChunkBytes = 64 << 10;

    // One read for each table: what a listing costs must not follow from tables of a few bytes. All programs write 512.
    private const int MinTableEntries = 128;

    private readonly VmdkHeader header;
    private readonly VmdkDescriptor descriptor;
    private readonly uint[] directory;
    private readonly uint[] sortedTables;

    private VmdkImage(
        IByteSource source, Limits limits, VmdkHeader header, VmdkDescriptor descriptor, uint[] directory)
        : base(source, limits)
    {
        this.header = header;
        this.descriptor = descriptor;
        this.directory = directory;
        sortedTables = SortTables();
    }

    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Vmdk;

    /// <inheritdoc/>
    public override long VirtualSize => (long)header.CapacitySectors * VmdkHeader.SectorBytes;

    /// <inheritdoc/>
    public override long BlockBytes => (long)header.GrainSectors * VmdkHeader.SectorBytes;

    /// <inheritdoc/>
    public override ClusterCompression Compression =>
        IsCompressed ? ClusterCompression.Zlib : ClusterCompression.None;

    /// <summary>Whether the grains are compressed.</summary>
    public bool IsCompressed => header.Compression != 0;

    /// <summary>Identity of the content, changed by the first write after an opening.</summary>
    public uint ContentId => descriptor.ContentId;

    /// <summary>The content identity of the parent; all ones for none.</summary>
    public uint ParentContentId => descriptor.ParentContentId;

    /// <summary>How the disk is stored: streamOptimized where grains are compressed, else as its descriptor
    /// says.</summary>
    public string CreateType => IsCompressed ? "streamOptimized" : descriptor.CreateType;

    /// <summary>Opens an image: reads and judges header, footer, descriptor and grain directory.</summary>
    /// <param name="source">The file's bytes; stays the caller's.</param>
    /// <param name="options">The caps.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException">Malformed, unsupported or refused.</exception>
    public static async ValueTask<VmdkImage> OpenAsync(
        IByteSource source, DiskOpenOptions options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(options);
        await RefuseOthersAsync(source, cancellationToken).ConfigureAwait(false);
        var bytes = await FileHead.ReadAsync(source, 0, VmdkHeader.Size, "VMDK header", cancellationToken)
            .ConfigureAwait(false);
        var header = VmdkHeader.Parse(bytes);
        header.Validate();
        options.Limits.RequireVirtualSize(header.CapacitySectors * VmdkHeader.SectorBytes);
        bytes = await FileHead.ReadAsync(
            source, VmdkHeader.Size, header.DescriptorBytes, "VMDK descriptor", cancellationToken).ConfigureAwait(false);
        var descriptor = VmdkDescriptor.Parse(bytes);
        header.RequireHolds(descriptor);
        if (header.DirectoryOffset == VmdkHeader.DirectoryAtEnd)
        {
            header = await ReadFooterAsync(source, header, cancellationToken).ConfigureAwait(false);
        }

        if (header.OverheadSectors > (ulong)source.Length / VmdkHeader.SectorBytes)
        {
            throw new ImageFormatException(FormatError.Truncated, "The VMDK ends before its first grain.", 64);
        }

        if (header.Compression != 0 && header.GrainSectors * VmdkHeader.SectorBytes > MaxCompressedGrainBytes)
        {
            throw new ImageFormatException(
                FormatError.UnsupportedFeature, "Compressed VMDK grains of more than 2 MiB are not supported.", 20);
        }

        if (header.TableEntries < MinTableEntries)
        {
            throw new ImageFormatException(
                FormatError.UnsupportedFeature,
                $"VMDK grain tables of {header.TableEntries} entries are not supported.", 44);
        }

        header.RequireDirectoryInside(source.Length);
        var directory = await ReadDirectoryAsync(source, header, cancellationToken).ConfigureAwait(false);
        return new VmdkImage(source, options.Limits, header, descriptor, directory);
    }

    private static async ValueTask RefuseOthersAsync(IByteSource source, CancellationToken cancellationToken)
    {
        var head = new byte[(int)Math.Min(source.Length, VmdkDescriptor.MaxStandaloneBytes)];
        var read = await source.ReadAsync(0, head, cancellationToken).ConfigureAwait(false);
        if (!VmdkHeader.HasMagic(head.AsSpan(0, read)))
        {
            throw VmdkDescriptor.RefuseOthers(head.AsSpan(0, read));
        }
    }

    private static async ValueTask<VmdkHeader> ReadFooterAsync(
        IByteSource source, VmdkHeader header, CancellationToken cancellationToken)
    {
        var start = source.Length - VmdkHeader.FooterBytes;
        var bytes = start < 0 ? [] : await FileHead.ReadAsync(
            source, start, VmdkHeader.FooterBytes, "VMDK footer", cancellationToken).ConfigureAwait(false);
        return header.WithFooter(bytes);
    }

    private static async ValueTask<uint[]> ReadDirectoryAsync(
        IByteSource source, VmdkHeader header, CancellationToken cancellationToken)
    {
        var directory = new uint[header.DirectoryBytes / sizeof(uint)];
        var position = (long)header.DirectoryOffset * VmdkHeader.SectorBytes;
        var buffer = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        try
        {
            for (var filled = 0; filled < directory.Length;)
            {
                var chunk = buffer.AsMemory(0, Math.Min(ChunkBytes, (directory.Length - filled) * sizeof(uint)));
                if (await source.ReadAsync(position, chunk, cancellationToken).ConfigureAwait(false) < chunk.Length)
                {
                    throw new EndOfStreamException("The image's bytes end inside its grain directory.");
                }

                for (var i = 0; i < chunk.Length; i += sizeof(uint))
                {
                    directory[filled++] = BinaryPrimitives.ReadUInt32LittleEndian(chunk.Span[i..]);
                }

                position += chunk.Length;
            }

            return directory;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
