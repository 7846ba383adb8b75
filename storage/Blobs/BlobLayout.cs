using System.Globalization;

namespace Registry.Storage.Blobs;

/// <summary>Where things lie in a store; drawn here, once.</summary>
/// <remarks>
/// <code>
/// directory store                                  bucket
///
/// {root}/                      mode 0700           {prefix}
///   .uploads/                  half-written          {image id}/
///     {image id}.{generation}/                         {generation}/
///       data                   sparse, grows             upload    empty; there while the blob is being written
///       index                                            data.{n}  segments of one size, the last may be shorter
///   {image id}/                                          index.{n}
///     {generation}/            appears whole, by one     blob      lengths and segment sizes; written last: with it
///       data                   rename, never changes               the blob is there, without it there is none.
///       index                  after; mode 0600                    Goes first when a blob is deleted
/// </code>
/// Numbers count from 0, in decimal. An http store is read in either layout.
/// The generation is in every name, so an upload that was fenced off writes beside the winner, never over it.
/// </remarks>
public static class BlobLayout
{
    /// <summary>Name of the directory of half-written blobs. No image id can collide with it.</summary>
    internal const string Uploads = ".uploads";

    /// <summary>Object that says that a blob is complete, and how long it is: see <see cref="SegmentedBlob"/>.</summary>
    internal const string Record = "blob";

    /// <summary>Object that is there from the start of an upload to its commit.</summary>
    internal const string Upload = "upload";

    private const int IdLength = 36;

    /// <summary>Whether a text is a UUID in the dashed form, in any hex case. Only such ids become paths.</summary>
    public static bool IsCanonicalId(string? id)
    {
        if (id is not { Length: IdLength })
        {
            return false;
        }

        // Not Guid.TryParseExact: it takes signs and 0x in places.
        for (var i = 0; i < IdLength; i++)
        {
            var isDash = i is 8 or 13 or 18 or 23;
            if (isDash ? id[i] != '-' : !char.IsAsciiHexDigit(id[i]))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Name of a part's file.</summary>
    internal static string FileName(BlobPart part) => part switch
    {
        BlobPart.Data => "data",
        BlobPart.Index => "index",
        _ => throw new ArgumentOutOfRangeException(nameof(part), part, "No such part."),
    };

    /// <summary>Directory of all of an image's blobs.</summary>
    internal static string ImageDirectory(string root, BlobKey key) => Path.Combine(root, Checked(key).ImageId);

    /// <summary>Directory of a committed blob.</summary>
    internal static string BlobDirectory(string root, BlobKey key) =>
        Path.Combine(ImageDirectory(root, key), Number(key.Generation));

    /// <summary>Directory of a half-written blob.</summary>
    internal static string UploadDirectory(string root, BlobKey key) =>
        Path.Combine(root, Uploads, $"{Checked(key).ImageId}.{Number(key.Generation)}");

    /// <summary>What the names of all of a blob's objects begin with.</summary>
    internal static string ObjectPrefix(string prefix, BlobKey key) =>
        $"{prefix}{Checked(key).ImageId}/{Number(key.Generation)}/";

    /// <summary>Name of a segment's object, after <see cref="ObjectPrefix"/>.</summary>
    public static string SegmentName(BlobPart part, long number) => $"{FileName(part)}.{Number(number)}";

    /// <summary>Reads the name of a segment back.</summary>
    /// <param name="name">The name in the blob, such as <c>data.3</c>.</param>
    /// <param name="part">The part it is of.</param>
    /// <param name="number">Its number, from 0.</param>
    public static bool TryParseSegment(string name, out BlobPart part, out long number)
    {
        part = name.StartsWith("index.", StringComparison.Ordinal) ? BlobPart.Index : BlobPart.Data;
        var digits = name.AsSpan(name.IndexOf('.', StringComparison.Ordinal) + 1);
        return long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out number)
            && SegmentName(part, number) == name;
    }

    /// <summary>Reads the name of an object back.</summary>
    /// <param name="name">The name, without the store's prefix.</param>
    /// <param name="key">The blob it belongs to.</param>
    /// <param name="rest">What it is in the blob, such as <c>data.0</c>.</param>
    internal static bool TryParseObject(string name, out BlobKey key, out string rest)
    {
        rest = "";
        key = default;
        var parts = name.Split('/');
        if (parts.Length != 3 || !TryParse(parts[0], parts[1], out key))
        {
            return false;
        }

        rest = parts[2];
        return true;
    }

    /// <summary>Reads the name of a half-written blob's directory back.</summary>
    internal static bool TryParseUpload(string name, out BlobKey key)
    {
        key = default;
        return name.Length > IdLength + 1
            && name[IdLength] == '.'
            && TryParse(name[..IdLength], name[(IdLength + 1)..], out key);
    }

    /// <summary>Reads the names of a committed blob's directories back.</summary>
    internal static bool TryParse(string imageId, string generation, out BlobKey key)
    {
        key = default;
        if (!IsCanonicalId(imageId)
            || !long.TryParse(generation, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            || number < 1
            || Number(number) != generation)
        {
            return false;
        }

        key = new BlobKey(imageId, number);
        return true;
    }

    private static BlobKey Checked(BlobKey key)
    {
        if (!IsCanonicalId(key.ImageId))
        {
            throw new ArgumentException("The image id of a blob must be a canonical UUID.", nameof(key));
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(key.Generation, 1);
        return key;
    }

    private static string Number(long generation) => generation.ToString(CultureInfo.InvariantCulture);
}
