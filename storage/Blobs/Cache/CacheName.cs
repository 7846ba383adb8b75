using System.Globalization;

namespace Registry.Storage.Blobs.Cache;

/// <summary>Names the 64 MiB of a blob that one file of the cache is for.</summary>
/// <param name="Key">The blob.</param>
/// <param name="Part">Its part.</param>
/// <param name="Number">Number of the 64 MiB in the part, from 0.</param>
internal readonly record struct CacheName(BlobKey Key, BlobPart Part, long Number)
{
    /// <summary>The file's name: image id, generation, part and number.</summary>
    public string FileName => string.Create(
        CultureInfo.InvariantCulture, $"{Key.ImageId}.{Key.Generation}.{BlobLayout.SegmentName(Part, Number)}");

    /// <summary>Reads the name of a file back.</summary>
    public static bool TryParse(string fileName, out CacheName name)
    {
        name = default;
        if (fileName.Split('.') is not [var image, var generation, var part, var number]
            || !BlobLayout.TryParse(image, generation, out var key)
            || !long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var parsed))
        {
            return false;
        }

        name = new CacheName(
            key, part == BlobLayout.FileName(BlobPart.Index) ? BlobPart.Index : BlobPart.Data, parsed);
        return name.FileName == fileName;
    }
}
