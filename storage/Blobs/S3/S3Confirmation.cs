using System.Net.Http.Headers;

namespace Registry.Storage.Blobs.S3;

/// <summary>What the answer to a write says about the bytes that the store got.</summary>
internal enum S3Confirmation
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>They are the bytes that were sent.</summary>
    Same,

    /// <summary>An MD5 that is not that of the bytes: they were damaged, the answer was, or the store encrypts and its
    /// ETag is the MD5 of something else.</summary>
    Other,
}

/// <summary>Reads confirmations.</summary>
internal static class S3Confirmations
{
    private const int Md5Digits = 32;

    /// <summary>Compares an answer's ETag with what was sent.</summary>
    public static S3Confirmation Of(HttpResponseHeaders headers, S3Body body)
    {
        var tag = headers.TryGetValues("ETag", out var values) ? values.First().Trim('"') : "";
        return tag.Length != Md5Digits || !tag.All(char.IsAsciiHexDigit)
            ? S3Confirmation.None
            : tag.Equals(Convert.ToHexString(body.Md5()), StringComparison.OrdinalIgnoreCase)
                ? S3Confirmation.Same
                : S3Confirmation.Other;
    }
}
