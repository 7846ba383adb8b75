namespace Registry.Api.Adoption;

/// <summary>Where Glance says that bytes are; nothing in it is to be trusted, and an S3 address holds keys that are
/// never looked at.</summary>
internal abstract record GlanceLocation
{
    private GlanceLocation()
    {
    }

    /// <summary>Reads an address.</summary>
    public static GlanceLocation Parse(string address)
    {
        var end = address.IndexOf("://", StringComparison.Ordinal);
        var scheme = end > 0 ? address[..end] : "";
        return scheme switch
        {
            "file" or "filesystem" => new InFile(address[(end + 3)..].Trim()),
            "s3" or "s3+http" or "s3+https" => (GlanceLocation?)Object(address[(end + 3)..]) ?? new Elsewhere(scheme),
            _ => new Elsewhere(IsScheme(scheme) ? scheme : "unknown"),
        };
    }

    private static bool IsScheme(string text) =>
        text.Length is > 0 and <= 16 && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '+' or '-');

    // accesskey:secretkey@host[:port]/bucket/key. The secret may hold slashes, but none of the others an '@'.
    private static InBucket? Object(string rest)
    {
        var parts = rest[(rest.LastIndexOf('@') + 1)..].Trim('/').Split('/');
        return parts is [var host, var bucket, var key] && host.Length > 0 && bucket.Length > 0 && key.Length > 0
            ? new InBucket(host, bucket, key)
            : null;
    }

    /// <summary>A file.</summary>
    /// <param name="Path">Its absolute path where Glance runs.</param>
    public sealed record InFile(string Path) : GlanceLocation;

    /// <summary>An object in an S3 bucket.</summary>
    /// <param name="Host">Host, and port where it is not the usual.</param>
    /// <param name="Bucket">The bucket.</param>
    /// <param name="Key">The object's name.</param>
    public sealed record InBucket(string Host, string Bucket, string Key) : GlanceLocation;

    /// <summary>Something that cannot be read from here.</summary>
    /// <param name="Scheme">What it is, such as <c>rbd</c>.</param>
    public sealed record Elsewhere(string Scheme) : GlanceLocation;
}
