using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Vdi;

/// <summary>An open VirtualBox disk image that stands alone: dynamic, or static with every block in its
/// place.</summary>
public sealed class VdiImage : BlockImage
{
    private const int EntryBytes = sizeof(uint);

    /// <summary>This and the value above it, never allocated, stand for a block of zeroes.</summary>
    private const uint Discarded = 0xFFFFFFFE;

    private readonly VdiHeader header;

    private VdiImage(IByteSource source, Limits limits, VdiHeader header)
        : base(source, limits)
    {
        this.header = header;

        // VirtualBox makes disks that end inside a sector; QEMU rounds them up.
        VirtualSize = ((long)header.DiskBytes + 511) & ~511L;
    }

    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Vdi;

    /// <inheritdoc/>
    public override long VirtualSize { get; }

    /// <inheritdoc/>
    public override long BlockBytes => header.BlockBytes;

    /// <summary>Opens an image: reads and judges its header.</summary>
    /// <param name="source">The file's bytes; stays the caller's.</param>
    /// <param name="options">The caps.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException">Malformed, unsupported or refused.</exception>
    public static async ValueTask<VdiImage> OpenAsync(
        IByteSource source, DiskOpenOptions options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(options);
        var bytes = await FileHead.ReadAsync(source, 0, VdiHeader.Size, "VDI header", cancellationToken)
            .ConfigureAwait(false);
        if (!VdiHeader.HasMagic(bytes))
        {
            throw new ImageFormatException(FormatError.BadMagic, "The file is not a VDI image.", 0);
        }

        var header = VdiHeader.Parse(bytes);
        header.Validate();
        options.Limits.RequireVirtualSize(header.DiskBytes);
        if (header.BlockMapEnd > source.Length)
        {
            throw new ImageFormatException(
                FormatError.Truncated, "The image ends inside its VDI block map.", header.BlockMapOffset);
        }

        return new VdiImage(source, options.Limits, header);
    }

    /// <inheritdoc/>
    private protected override async ValueTask<int> PlaceAsync(
        long first, Memory<BlockPlace> places, CancellationToken cancellationToken)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(places.Length * EntryBytes);
        try
        {
            var entries = buffer.AsMemory(0, places.Length * EntryBytes);
            await ReadTableAsync(header.BlockMapOffset + (first * EntryBytes), entries, cancellationToken)
                .ConfigureAwait(false);
            for (var i = 0; i < places.Length; i++)
            {
                var entry = BinaryPrimitives.ReadUInt32LittleEndian(entries.Span[(i * EntryBytes)..]);
                places.Span[i] = entry >= Discarded ? BlockPlace.Zero : BlockPlace.Data(RequireInside(
                    header.DataOffset + ((ulong)entry * header.BlockBytes), BytesOf(first + i), first + i));
            }

            return places.Length;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <inheritdoc/>
    private protected override BlockAudit StartAudit() =>
        new(Source.Length, BlockBytes, leadBytes: 0, [new FileRange(0, header.BlockMapEnd)]);

    /// <inheritdoc/>
    protected override IAsyncEnumerable<BlockStatus> StatusPartsAsync(
        long start, long length, CancellationToken cancellationToken)
    {
        var parts = base.StatusPartsAsync(start, length, cancellationToken);
        return header.IsFixed ? BlockStatus.WithHolesAsync(parts, Source, cancellationToken) : parts;
    }
}
