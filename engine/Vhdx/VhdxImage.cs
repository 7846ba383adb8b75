using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Vhdx;

/// <summary>An open VHDX that stands alone and was closed: a log with entries to be replayed is refused.</summary>
public sealed class VhdxImage : BlockImage
{
    private const int HeaderAreaBytes = VhdxRegionTable.FileOffset + VhdxRegionTable.Size;
    private const int FirstBlockOffset = 1 << 20;
    private const int EntryBytes = sizeof(ulong);
    private const ulong StateMask = 7;
    private const ulong OffsetMask = ~0xFFFFFUL;

    private readonly VhdxHeader header;
    private readonly VhdxRegionTable regions;
    private readonly VhdxMetadata metadata;

    private VhdxImage(
        IByteSource source, Limits limits, VhdxHeader header, VhdxRegionTable regions, VhdxMetadata metadata)
        : base(source, limits)
    {
        this.header = header;
        this.regions = regions;
        this.metadata = metadata;
    }

    /// <summary>States of a block, as the table's entries have them.</summary>
    private enum BlockState
    {
        NotPresent = 0,
        Undefined = 1,
        Zero = 2,
        Unmapped = 3,
        UnmappedBefore1 = 5, // in drafts of the format
        Present = 6,
    }

    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Vhdx;

    /// <inheritdoc/>
    public override long VirtualSize => (long)metadata.DiskBytes;

    /// <inheritdoc/>
    public override long BlockBytes => metadata.BlockBytes;

    /// <summary>Opens an image: reads and judges headers, region table and metadata.</summary>
    /// <param name="source">The file's bytes; stays the caller's.</param>
    /// <param name="options">The caps.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException">Malformed, unsupported or refused.</exception>
    public static async ValueTask<VhdxImage> OpenAsync(
        IByteSource source, DiskOpenOptions options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(options);
        var area = await FileHead.ReadAsync(source, 0, HeaderAreaBytes, "VHDX headers", cancellationToken)
            .ConfigureAwait(false);
        if (!area.AsSpan().StartsWith("vhdxfile"u8))
        {
            throw new ImageFormatException(FormatError.BadMagic, "The file is not a VHDX image.", 0);
        }

        var header = VhdxHeader.ParseCurrent(area);
        header.Validate();
        var regions = VhdxRegionTable.Parse(area.AsSpan(VhdxRegionTable.FileOffset));
        if (regions.Metadata.End > source.Length || regions.BlockTable.End > source.Length)
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, "A VHDX region lies outside the file.", VhdxRegionTable.FileOffset);
        }

        var items = await FileHead.ReadAsync(
            source, (long)regions.Metadata.Offset, VhdxMetadata.Size, "VHDX metadata", cancellationToken)
            .ConfigureAwait(false);
        var metadata = VhdxMetadata.Parse(items);
        metadata.Validate();
        options.Limits.RequireVirtualSize(metadata.DiskBytes);
        var image = new VhdxImage(source, options.Limits, header, regions, metadata);
        if (image.VirtualSize > 0
            && image.EntryOf((image.VirtualSize - 1) / image.BlockBytes) >= regions.BlockTable.Length / EntryBytes)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The VHDX block table does not cover the disk.", VhdxRegionTable.FileOffset);
        }

        return image;
    }

    /// <inheritdoc/>
    private protected override async ValueTask<int> PlaceAsync(
        long first, Memory<BlockPlace> places, CancellationToken cancellationToken)
    {
        var firstEntry = EntryOf(first);
        var length = (int)(EntryOf(first + places.Length - 1) + 1 - firstEntry) * EntryBytes;
        var buffer = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            var entries = buffer.AsMemory(0, length);
            await ReadTableAsync((long)regions.BlockTable.Offset + (firstEntry * EntryBytes), entries, cancellationToken)
                .ConfigureAwait(false);
            for (var i = 0; i < places.Length; i++)
            {
                var at = (int)(EntryOf(first + i) - firstEntry) * EntryBytes;
                places.Span[i] = Place(BinaryPrimitives.ReadUInt64LittleEndian(entries.Span[at..]), first + i);
            }

            return places.Length;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <inheritdoc/>
    private protected override BlockAudit StartAudit() => new(Source.Length, BlockBytes, leadBytes: 0,
    [
        new FileRange(0, FirstBlockOffset),
        new FileRange((long)regions.Metadata.Offset, regions.Metadata.End),
        new FileRange((long)regions.BlockTable.Offset, regions.BlockTable.End),
        header.LogOffset <= (ulong)Source.Length
            ? new FileRange((long)header.LogOffset, (long)header.LogOffset + header.LogLength)
            : default,
    ]);

    /// <inheritdoc/>
    /// <remarks>QEMU does not tell the blocks of this format apart.</remarks>
    protected override async IAsyncEnumerable<BlockStatus> StatusPartsAsync(
        long start, long length, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        CheckRange(start, length);
        await ValueTask.CompletedTask.ConfigureAwait(false);
        if (length > 0)
        {
            yield return new BlockStatus(
                start, length, Depth: 0, IsPresent: true, IsZero: false, IsData: true, Offset: -1);
        }
    }

    /// <summary>Which entry of the table is a block's: behind every chunk of them is one for the sectors'
    /// bitmap.</summary>
    private long EntryOf(long block) => block + (block / ((1L << 23) * metadata.SectorBytes / BlockBytes));

    private BlockPlace Place(ulong entry, long block)
    {
        var state = (BlockState)(entry & StateMask);
        switch (state)
        {
            case BlockState.NotPresent or BlockState.Undefined or BlockState.Zero or BlockState.Unmapped
                or BlockState.UnmappedBefore1:
                return BlockPlace.Zero;
            case BlockState.Present:
                var offset = entry & OffsetMask;
                return offset >= FirstBlockOffset
                    ? BlockPlace.Data(RequireInside(offset, BytesOf(block), block))
                    : throw new ImageFormatException(
                        FormatError.OverlapsMetadata,
                        $"The block at guest offset {block * BlockBytes} is stored on the image's own metadata.");
            default:
                throw new ImageFormatException(
                    FormatError.InvalidTableEntry,
                    $"The block at guest offset {block * BlockBytes} is in state {(int)state}, " +
                    "which no image that stands alone has.");
        }
    }
}
