using Registry.Engine.Bytes;
using Registry.Engine.Crypto;
using Registry.Engine.Ploop;
using Registry.Engine.Qcow2;
using Registry.Engine.Qed;
using Registry.Engine.Raw;
using Registry.Engine.Vdi;
using Registry.Engine.Vhd;
using Registry.Engine.Vhdx;
using Registry.Engine.Vmdk;

namespace Registry.Engine.Disks;

/// <summary>Opens disk images.</summary>
public static class DiskImages
{
    /// <summary>Opens an image of a known format. The format is never guessed here: a raw disk may look like
    /// anything.</summary>
    /// <param name="source">The file's bytes; stays the caller's.</param>
    /// <param name="format">The recorded format.</param>
    /// <param name="options">What it may refer to, the caps, and what is wanted of it.</param>
    /// <param name="cancellationToken">Cancels the opening.</param>
    /// <exception cref="ImageFormatException">Malformed, unsupported or refused.</exception>
    public static async ValueTask<DiskImage> OpenAsync(
        IByteSource source, DiskFormat format, DiskOpenOptions options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(options);
        if (options.Snapshot is not null && format != DiskFormat.Qcow2)
        {
            throw new ImageFormatException(
                FormatError.UnknownSnapshot, $"Disks of format {format} have no internal snapshots.");
        }

        return format switch
        {
            DiskFormat.Raw or DiskFormat.Iso or DiskFormat.Gpt => new RawImage(source),
            DiskFormat.Qcow2 => await QcowImage.OpenAsync(source, options, cancellationToken)
                .ConfigureAwait(false),
            DiskFormat.Vmdk => await VmdkImage.OpenAsync(source, options, cancellationToken).ConfigureAwait(false),
            DiskFormat.Vhd => await VhdImage.OpenAsync(source, options, cancellationToken).ConfigureAwait(false),
            DiskFormat.Vhdx => await VhdxImage.OpenAsync(source, options, cancellationToken).ConfigureAwait(false),
            DiskFormat.Vdi => await VdiImage.OpenAsync(source, options, cancellationToken).ConfigureAwait(false),
            _ => options.MetadataOnly
                && await ToldSize.ReadAsync(source, format, cancellationToken).ConfigureAwait(false) is { } size
                    ? new ToldImage(format, size)
                    : throw NotReadable(format),
        };
    }

    internal static ImageFormatException NotReadable(DiskFormat format) =>
        new(FormatError.UnsupportedFeature, $"Disks of format {format} cannot be read.");

    /// <summary>Guesses a local file's format by its first bytes, for a user who did not say. Never for stored
    /// images.</summary>
    /// <remarks>A fixed VHD shows at its end only, where qemu-img does not look: it takes such a file for a raw
    /// disk.</remarks>
    /// <param name="source">The file's bytes.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <returns>The format; <see cref="DiskFormat.Raw"/> where nothing is recognised.</returns>
    public static async ValueTask<DiskFormat> DetectAsync(IByteSource source, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        var head = new byte[VmdkDescriptor.MaxStandaloneBytes];
        var read = await source.ReadAsync(0, head, cancellationToken).ConfigureAwait(false);
        var format = Detect(head.AsSpan(0, read));
        return format == DiskFormat.Raw
            && await VhdFixedImage.IsOneAsync(source, cancellationToken).ConfigureAwait(false)
                ? DiskFormat.Vhd
                : format;
    }

    private static DiskFormat Detect(ReadOnlySpan<byte> head)
    {
        if (QcowHeader.HasMagic(head))
        {
            return DiskFormat.Qcow2;
        }

        if (QedHeader.HasMagic(head))
        {
            return DiskFormat.Qed;
        }

        if (VmdkHeader.HasMagic(head) || head.StartsWith("COWD"u8) || VmdkDescriptor.IsStandalone(head))
        {
            return DiskFormat.Vmdk;
        }

        if (head.StartsWith("vhdxfile"u8))
        {
            return DiskFormat.Vhdx;
        }

        if (VhdFooter.HasMagic(head))
        {
            return DiskFormat.Vhd;
        }

        if (LuksVolume.HasMagic(head))
        {
            return DiskFormat.Luks;
        }

        if (PloopHeader.HasMagic(head))
        {
            return DiskFormat.Ploop;
        }

        return VdiHeader.HasMagic(head) ? DiskFormat.Vdi : DiskFormat.Raw;
    }
}
