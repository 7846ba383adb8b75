using Registry.Engine.Qcow2;
using Registry.Engine.Qcow2.Writing;

namespace Registry.Api.Cli;

/// <summary>Bitmaps on their way from one image to another.</summary>
internal static class DiskBitmaps
{
    /// <summary>Reads the bitmaps of an image.</summary>
    /// <param name="image">The image.</param>
    /// <param name="skipsBroken">Whether those that were not closed properly are left out rather than refused.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="CommandException">One was not closed properly.</exception>
    public static async Task<List<CopiedBitmap>> ReadAsync(
        QcowImage image, bool skipsBroken, CancellationToken cancellationToken)
    {
        var copies = new List<CopiedBitmap>();
        foreach (var bitmap in await image.ReadBitmapsAsync(cancellationToken))
        {
            if (!bitmap.IsInconsistent)
            {
                var ranges = await bitmap.RangesAsync(image, cancellationToken).ToListAsync(cancellationToken);
                copies.Add(new CopiedBitmap(bitmap, ranges));
            }
            else if (skipsBroken)
            {
                await Console.Error.WriteLineAsync($"registry: warning: Skipping inconsistent bitmap '{Terminal.Printable(bitmap.Name)}'");
            }
            else
            {
                throw new CommandException(
                    $"Cannot copy inconsistent bitmap '{bitmap.Name}': use --skip-broken-bitmaps, or remove it.");
            }
        }

        return copies;
    }

    /// <summary>Adds them to another image.</summary>
    public static async Task AddAsync(QcowDisk disk, List<CopiedBitmap> copies, CancellationToken cancellationToken)
    {
        foreach (var (bitmap, ranges) in copies)
        {
            await disk.AddBitmapAsync(
                bitmap.Name, (int)bitmap.Granularity, bitmap.Flags.HasFlag(QcowBitmapFlags.Auto), cancellationToken);
            await disk.MergeBitmapAsync(bitmap.Name, ranges, cancellationToken);
        }
    }
}

/// <summary>A bitmap and the guest ranges it has bits for.</summary>
internal sealed record CopiedBitmap(QcowBitmap Bitmap, List<(long Start, long Length)> Ranges);
