using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Raw;

namespace Registry.Engine.Vhd;

/// <summary>An open fixed VHD: the disk's bytes, then a footer.</summary>
public sealed class VhdFixedImage : DiskImage
{
    private readonly RawImage disk;
    private readonly IByteSource source;

    private VhdFixedImage(IByteSource source, long size)
    {
        this.source = source;
        disk = new RawImage(new SourcePart(source, size));
    }

    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Vhd;

    /// <inheritdoc/>
    public override long VirtualSize => disk.VirtualSize;

    /// <inheritdoc/>
    public override int ClusterSize => disk.ClusterSize;

    /// <inheritdoc/>
    public override IByteSource Layer(int depth)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(depth, 0);
        return source;
    }

    /// <inheritdoc/>
    public override IAsyncEnumerable<Extent> MapAsync(long start, long length, CancellationToken cancellationToken) =>
        disk.MapAsync(start, length, cancellationToken);

    /// <inheritdoc/>
    public override ValueTask ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        disk.ReadAsync(offset, buffer, cancellationToken);

    /// <summary>Whether a file ends with the footer of a fixed disk that fills it.</summary>
    /// <param name="source">The file.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    internal static async ValueTask<bool> IsOneAsync(IByteSource source, CancellationToken cancellationToken)
    {
        if (source.Length < VhdFooter.Size)
        {
            return false;
        }

        try
        {
            _ = await ReadFooterAsync(source, cancellationToken).ConfigureAwait(false);
            return true;
        }
        catch (ImageFormatException)
        {
            return false; // what looks like a footer is a plain disk's content
        }
    }

    internal static async ValueTask<VhdFixedImage> OpenAsync(
        IByteSource source, DiskOpenOptions options, CancellationToken cancellationToken)
    {
        var footer = await ReadFooterAsync(source, cancellationToken).ConfigureAwait(false);
        return new VhdFixedImage(source, options.Limits.RequireVirtualSize((ulong)footer.DiskBytes));
    }

    /// <inheritdoc/>
    protected override async IAsyncEnumerable<BlockStatus> StatusPartsAsync(
        long start, long length,
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        // QEMU says that a hole is stored: the format allocates everything at once.
        await foreach (var extent in MapAsync(start, length, cancellationToken).ConfigureAwait(false))
        {
            yield return BlockStatus.OfRaw(extent, depth: 0) with { IsData = true };
        }
    }

    private static async ValueTask<VhdFooter> ReadFooterAsync(IByteSource source, CancellationToken cancellationToken)
    {
        var start = source.Length - VhdFooter.Size;
        var bytes = await FileHead.ReadAsync(source, start, VhdFooter.Size, "VHD footer", cancellationToken)
            .ConfigureAwait(false);
        if (!VhdFooter.HasMagic(bytes))
        {
            throw new ImageFormatException(FormatError.BadMagic, "The file is not a VHD image.", start);
        }

        var footer = VhdFooter.Parse(bytes);
        footer.Validate();
        if (footer.DiskType != VhdDiskType.Fixed)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The dynamic VHD does not start with a copy of its footer.", 0);
        }

        return footer.CurrentBytes == (ulong)start
            ? footer
            : throw new ImageFormatException(
                FormatError.InvalidHeader, "The length of the file is not that of its fixed VHD.", start);
    }
}
