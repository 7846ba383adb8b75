using System.Buffers;
using System.Buffers.Binary;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Vhd;

/// <summary>An open dynamic VHD that stands alone.</summary>
/// <remarks>The bitmaps in front of the blocks say which sectors were written. They mean something where there is a
/// parent; without one QEMU leaves them alone, and a block's bytes are what the disk holds.</remarks>
public sealed class VhdImage : BlockImage
{
    private const int EntryBytes = sizeof(uint);
    private const uint Unused = uint.MaxValue;
    private const int SectorBytes = 512;

    private readonly VhdFooter footer;
    private readonly VhdDynamicHeader header;

    private VhdImage(IByteSource source, Limits limits, VhdFooter footer, VhdDynamicHeader header)
        : base(source, limits)
    {
        this.footer = footer;
        this.header = header;
    }

    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Vhd;

    /// <inheritdoc/>
    public override long VirtualSize => footer.DiskBytes;

    /// <inheritdoc/>
    public override long BlockBytes => header.BlockBytes;

    /// <summary>Opens an image, fixed or dynamic: reads and judges its footer and header.</summary>
    /// <param name="source">The file's bytes; stays the caller's.</param>
    /// <param name="options">The caps.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <returns>A <see cref="VhdImage"/>, or a <see cref="VhdFixedImage"/>.</returns>
    /// <exception cref="ImageFormatException">Malformed, unsupported or refused.</exception>
    public static async ValueTask<DiskImage> OpenAsync(
        IByteSource source, DiskOpenOptions options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(options);
        var bytes = await FileHead.ReadAsync(source, 0, VhdFooter.Size, "VHD footer", cancellationToken)
            .ConfigureAwait(false);
        if (!VhdFooter.HasMagic(bytes))
        {
            return await VhdFixedImage.OpenAsync(source, options, cancellationToken).ConfigureAwait(false);
        }

        var footer = VhdFooter.Parse(bytes);
        footer.Validate();
        options.Limits.RequireVirtualSize((ulong)footer.DiskBytes);
        if (footer.DiskType != VhdDiskType.Dynamic)
        {
            // A fixed disk whose own first sector looks like a footer: its footer is at its end like every other's.
            return await VhdFixedImage.OpenAsync(source, options, cancellationToken).ConfigureAwait(false);
        }

        if (footer.DataOffset < VhdFooter.Size || footer.DataOffset > (ulong)source.Length)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The dynamic VHD header is not behind the footer's copy.", 16);
        }

        bytes = await FileHead.ReadAsync(
            source, (long)footer.DataOffset, VhdDynamicHeader.Size, "dynamic VHD header", cancellationToken)
            .ConfigureAwait(false);
        var header = VhdDynamicHeader.Parse(bytes);
        header.Validate((ulong)footer.DiskBytes);
        if (header.TableEnd > (ulong)source.Length)
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, "The VHD block table lies outside the file.", (long)footer.DataOffset);
        }

        return new VhdImage(source, options.Limits, footer, header);
    }

    /// <inheritdoc/>
    private protected override async ValueTask<int> PlaceAsync(
        long first, Memory<BlockPlace> places, CancellationToken cancellationToken)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(places.Length * EntryBytes);
        try
        {
            var entries = buffer.AsMemory(0, places.Length * EntryBytes);
            await ReadTableAsync((long)header.TableOffset + (first * EntryBytes), entries, cancellationToken)
                .ConfigureAwait(false);
            for (var i = 0; i < places.Length; i++)
            {
                var entry = BinaryPrimitives.ReadUInt32BigEndian(entries.Span[(i * EntryBytes)..]);
                places.Span[i] = entry == Unused ? BlockPlace.Zero : Place(entry, first + i);
            }

            return places.Length;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <inheritdoc/>
    private protected override BlockAudit StartAudit() => new(Source.Length, BlockBytes, header.BitmapBytes,
    [
        new FileRange(0, VhdFooter.Size),
        new FileRange((long)footer.DataOffset, (long)footer.DataOffset + VhdDynamicHeader.Size),
        new FileRange((long)header.TableOffset, (long)header.TableEnd),
        new FileRange(Source.Length - VhdFooter.Size, Source.Length),
    ]);

    /// <summary>A block is stored whole, behind its bitmap, be the disk's last one or not.</summary>
    private BlockPlace Place(uint entry, long block) => BlockPlace.Data(
        RequireInside((ulong)entry * SectorBytes, header.BitmapBytes + BlockBytes, block) + header.BitmapBytes);
}
