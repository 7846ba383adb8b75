using System.Globalization;
using Registry.Storage.Domain;

namespace Registry.Api.ImageData;

/// <summary>The part of an image that a download asks for.</summary>
/// <param name="Offset">First byte.</param>
/// <param name="Length">Bytes.</param>
/// <param name="IsPartial">Whether a range was asked for at all.</param>
/// <param name="Total">Bytes of the whole.</param>
public readonly record struct ByteRange(long Offset, long Length, bool IsPartial, long Total)
{
    private const string Unit = "bytes=";
    private const string LegacyUnit = "bytes ";

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
        if (!range.StartsWith(Unit, StringComparison.Ordinal))
        {
            throw NotSatisfiable(range);
        }

        var spec = range[Unit.Length..];
        if (spec.Contains(','))
        {
            throw new RegistryException(
                ErrorCode.BadRequest,
                "Requests with multiple ranges are not supported. Please provide a single range.");
        }

        var dash = spec.IndexOf('-');
        if (dash < 0)
        {
            throw NotSatisfiable(range);
        }

        if (dash == 0)
        {
            var suffix = Number(spec[1..], range);
            return suffix == 0 || size == 0
                ? throw NotSatisfiable(range)
                : new ByteRange(Math.Max(0, size - suffix), Math.Min(size, suffix), true, size);
        }

        var start = Number(spec[..dash], range);
        var end = dash == spec.Length - 1 ? size - 1 : Math.Min(Number(spec[(dash + 1)..], range), size - 1);
        return start >= size || end < start
            ? throw NotSatisfiable(range)
            : new ByteRange(start, end - start + 1, true, size);
    }

    private static ByteRange ReadContentRange(string range, long size)
    {
        var slash = range.IndexOf('/');
        if (!range.StartsWith(LegacyUnit, StringComparison.Ordinal) || slash < 0)
        {
            throw NotSatisfiable(range);
        }

        var total = range[(slash + 1)..];
        if (total != "*" && Number(total, range) != size)
        {
            throw NotSatisfiable(range);
        }

        return ReadRange(Unit + range[LegacyUnit.Length..slash], size);
    }

    private static long Number(string text, string range)
    {
        if (text.Length == 0 || !text.All(char.IsAsciiDigit))
        {
            throw NotSatisfiable(range);
        }

        // Digits that do not fit lie past the end of any image.
        return long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number
            : long.MaxValue;
    }

    private static RegistryException NotSatisfiable(string range) =>
        new(ErrorCode.RangeNotSatisfiable, $"Range '{Images.ImageRules.Shown(range)}' cannot be satisfied.");
}
