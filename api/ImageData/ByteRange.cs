using System.Globalization;
using System.Text.RegularExpressions;
using Registry.Storage.Domain;

namespace Registry.Api.ImageData;

/// <summary>The part of an image that a download asks for.</summary>
/// <param name="Offset">First byte.</param>
/// <param name="Length">Bytes.</param>
/// <param name="IsPartial">Whether a range was asked for at all.</param>
/// <param name="Total">Bytes of the whole.</param>
public readonly partial record struct ByteRange(long Offset, long Length, bool IsPartial, long Total)
{
    /// <summary>Reads the Range header, or the Content-Range request header that old clients send instead
    /// (spec/glance-v2.md, 5).</summary>
    /// <param name="range">Range header; null or empty when absent.</param>
    /// <param name="contentRange">Content-Range header of the request; null or empty when absent.</param>
    /// <param name="size">Size of the image in bytes.</param>
    /// <exception cref="RegistryException">RangeNotSatisfiable; BadRequest for more than one range.</exception>
    public static ByteRange Read(string? range, string? contentRange, long size)
    {
        if (!string.IsNullOrEmpty(range))
        {
            return ReadRange(range, size);
        }

        return string.IsNullOrEmpty(contentRange)
            ? new ByteRange(0, size, false, size)
            : ReadContentRange(contentRange, size);
    }

    /// <summary>Answers 200 or 206 with the headers of a body of bytes that a browser must not interpret.</summary>
    public void WriteHeaders(HttpResponse response)
    {
        response.StatusCode = IsPartial ? StatusCodes.Status206PartialContent : StatusCodes.Status200OK;
        response.ContentType = "application/octet-stream";
        response.ContentLength = Length;
        response.Headers.AcceptRanges = "bytes";
        response.Headers.ContentDisposition = "attachment";
        response.Headers.XContentTypeOptions = "nosniff";
        if (IsPartial)
        {
            response.Headers.ContentRange = $"bytes {Offset}-{Offset + Length - 1}/{Total}";
        }
    }

    private static ByteRange ReadRange(string range, long size)
    {
        if (range.Contains(','))
        {
            throw new RegistryException(
                ErrorCode.BadRequest,
                "Requests with multiple ranges are not supported. Please provide a single range.");
        }

        var match = Bytes().Match(range);
        var (first, last) = (Number(match.Groups["first"]), Number(match.Groups["last"]));
        return (first, last) switch
        {
            (null, null) => throw NotSatisfiable(range),
            (null, { } suffix) => suffix == 0 || size == 0
                ? throw NotSatisfiable(range)
                : new ByteRange(Math.Max(0, size - suffix), Math.Min(size, suffix), true, size),
            ({ } start, _) => Checked(range, start, Math.Min(last ?? long.MaxValue, size - 1), size),
        };
    }

    // Unlike a Range it is not clipped: its end is within the image, and within the length that it names.
    private static ByteRange ReadContentRange(string range, long size)
    {
        var match = BytesOf().Match(range);
        return Number(match.Groups["first"]) is { } first && Number(match.Groups["last"]) is { } last
            && last < (Number(match.Groups["length"]) ?? size) && last < size
            ? Checked(range, first, last, size)
            : throw NotSatisfiable(range);
    }

    private static ByteRange Checked(string range, long first, long last, long size) =>
        first >= size || last < first
            ? throw NotSatisfiable(range)
            : new ByteRange(first, last - first + 1, true, size);

    // Digits that do not fit lie past the end of any image.
    private static long? Number(Group digits) => digits.Length == 0 ? null
        : long.TryParse(digits.ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number
        : long.MaxValue;

    // What follows the range is ignored, as Glance's parser does.
    [GeneratedRegex("^bytes *= *(?<first>[0-9]*) *- *(?<last>[0-9]*)", RegexOptions.IgnoreCase)]
    private static partial Regex Bytes();

    [GeneratedRegex(@"^bytes (?<first>[0-9]+)-(?<last>[0-9]+)/(?:(?<length>[0-9]+)|\*)")]
    private static partial Regex BytesOf();

    private static RegistryException NotSatisfiable(string range) =>
        new(ErrorCode.RangeNotSatisfiable, $"Range '{Images.ImageRules.Shown(range)}' cannot be satisfied.");
}
