using Registry.Engine.Bytes;
using Registry.Engine.Crypto;
using Registry.Engine.Ploop;
using Registry.Engine.Qed;

namespace Registry.Engine.Disks;

/// <summary>The size of disks that are recognised and not read: QED, ploop, LUKS.</summary>
public static class ToldSize
{
    /// <summary>What an image's header says of the disk's size.</summary>
    /// <param name="source">The file's bytes; stays the caller's.</param>
    /// <param name="format">The format, as <see cref="DiskImages.DetectAsync"/> finds it.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <returns>Virtual size in bytes; null for formats that <see cref="DiskImages.OpenAsync"/> opens.</returns>
    /// <exception cref="ImageFormatException">The header is malformed, or the size beyond what 63 bits
    /// hold.</exception>
    public static async ValueTask<long?> ReadAsync(
        IByteSource source, DiskFormat format, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        switch (format)
        {
            case DiskFormat.Qed:
                var qed = await FileHead.ReadAsync(source, 0, QedHeader.Size, "QED header", cancellationToken)
                    .ConfigureAwait(false);
                return Limits.Local.RequireVirtualSize(QedHeader.Parse(qed).DiskBytes);
            case DiskFormat.Ploop:
                var ploop = await FileHead.ReadAsync(source, 0, PloopHeader.Size, "ploop header", cancellationToken)
                    .ConfigureAwait(false);
                return Limits.Local.RequireVirtualSize(PloopHeader.Parse(ploop).DiskBytes);
            case DiskFormat.Luks:
                return (await LuksVolume.FindAsync(source, cancellationToken).ConfigureAwait(false)).Length;
            default:
                return null;
        }
    }
}
