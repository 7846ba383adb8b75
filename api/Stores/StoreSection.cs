using System.Text.RegularExpressions;

namespace Registry.Api.Stores;

/// <summary>One of Registry:Stores.</summary>
public sealed partial record StoreSection
{
    private const string Key = "Registry:Stores";

    /// <summary>The store's id, as clients name it.</summary>
    public string Id { get; init; } = "";

    /// <summary>directory, s3 or http.</summary>
    public string Kind { get; init; } = "directory";

    /// <summary>Whether uploads that name no store go here; the first store that takes any when none says so.</summary>
    public bool Default { get; init; }

    /// <summary>Whether nothing is ever written or removed here. An http store always is.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Text for people.</summary>
    public string Description { get; init; } = "";

    /// <summary>Of an image's stores, the one with the most weight is read first.</summary>
    public int Weight { get; init; }

    /// <summary>directory: the directory.</summary>
    public string Path { get; init; } = "";

    /// <summary>s3: scheme, host and port. http: the base address.</summary>
    public string Endpoint { get; init; } = "";

    /// <summary>s3: the region that signatures name.</summary>
    public string Region { get; init; } = "us-east-1";

    /// <summary>s3: the bucket.</summary>
    public string Bucket { get; init; } = "";

    /// <summary>s3: what the names of all objects begin with.</summary>
    public string Prefix { get; init; } = "";

    /// <summary>s3: access key; or <see cref="AccessKeyFile"/>.</summary>
    public string AccessKey { get; init; } = "";

    /// <summary>s3: secret key; or <see cref="SecretKeyFile"/>.</summary>
    public string SecretKey { get; init; } = "";

    /// <summary>s3: file that holds the access key.</summary>
    public string AccessKeyFile { get; init; } = "";

    /// <summary>s3: file that holds the secret key.</summary>
    public string SecretKeyFile { get; init; } = "";

    /// <summary>s3: whether the bucket is named in the path of addresses; false, in the host, at Amazon only.</summary>
    public bool PathStyle { get; init; } = true;

    /// <summary>s3: whether to make the bucket where there is none.</summary>
    public bool CreateBucket { get; init; }

    /// <summary>s3: verify, to read an object back after it was written where the store's answer confirms no checksum of
    /// it, or trust, to rely on the store and the network there.</summary>
    public string UnconfirmedWrites { get; init; } = "verify";

    /// <summary>s3, http: file of certificates (PEM) to trust instead of the system's.</summary>
    public string CaFile { get; init; } = "";

    /// <summary>Whether Registry:Cache keeps blocks of it. Unless said: those of distant stores, and where there are none,
    /// of all.</summary>
    public bool? Cached { get; init; }

    /// <summary>s3, http: longest silence before a request is tried again.</summary>
    public TimeSpan Silence { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>s3, http: longest time for a request with its retries; bytes that flow extend it.</summary>
    public TimeSpan Deadline { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Whether it is behind a network as far as the settings tell.</summary>
    internal bool IsDistant => Kind != "directory";

    /// <summary>Whether uploads can go here.</summary>
    internal bool TakesUploads => !ReadOnly && Kind != "http";

    /// <summary>Says everything but the keys.</summary>
    public override string ToString() => $"{Id} ({Kind})";

    /// <summary>Checks what can be checked without opening anything.</summary>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate()
    {
        RegistryOptions.Require(
            IdPattern().IsMatch(Id), $"{Key}:Id", Id, "set for every store: letters, digits, '.', '_' and '-', up to 64");
        RegistryOptions.Require(
            Kind is "directory" or "s3" or "http", $"{Key}:Kind", Kind, "directory, s3 or http");
        RegistryOptions.Require(
            !Default || TakesUploads, $"{Key}:Default", Id, "a store that is not read-only");
        if (Kind == "directory")
        {
            Require(Path.Length > 0, nameof(Path), Path, "set for a directory store");
            return;
        }

        var isUrl = Uri.TryCreate(Endpoint, UriKind.Absolute, out var endpoint);
        Require(
            endpoint?.UserInfo is null or "", nameof(Endpoint), "…", "an http or https URL without user and password");
        Require(
            isUrl && (endpoint!.Scheme == Uri.UriSchemeHttp || endpoint.Scheme == Uri.UriSchemeHttps)
                && endpoint.Query.Length == 0,
            nameof(Endpoint), Endpoint, "an http or https URL without user, password and query");
        Require(
            Silence > TimeSpan.Zero && Deadline >= Silence, nameof(Silence), $"{Silence}",
            "more than 0, up to Deadline");
        if (Kind == "s3")
        {
            ValidateBucket(endpoint!);
        }
    }

    private void ValidateBucket(Uri endpoint)
    {
        Require(endpoint.AbsolutePath == "/", nameof(Endpoint), Endpoint, "without a path for an s3 store");
        Require(
            BucketPattern().IsMatch(Bucket), nameof(Bucket), Bucket,
            "a bucket's name, 3 to 63 of a-z, 0-9, '.' and '-'");
        Require(
            UnconfirmedWrites is "verify" or "trust", nameof(UnconfirmedWrites), UnconfirmedWrites, "verify or trust");
        Require(Region.Length > 0, nameof(Region), Region, "set for an s3 store");
        Require(
            Prefix.Length <= 256 && !Prefix.StartsWith('/') && Prefix.All(c => char.IsAsciiLetterOrDigit(c) || "/._-".Contains(c)),
            nameof(Prefix), Prefix, "up to 256 letters, digits and './_-', and not begin with '/'");
        Require(
            PathStyle || endpoint.Host.EndsWith(".amazonaws.com", StringComparison.Ordinal), nameof(PathStyle), "false",
            "true for endpoints that are not Amazon's");

        // The values are never shown.
        Require(AccessKey.Length > 0 ^ AccessKeyFile.Length > 0, nameof(AccessKey), "…", "set, or else AccessKeyFile");
        Require(SecretKey.Length > 0 ^ SecretKeyFile.Length > 0, nameof(SecretKey), "…", "set, or else SecretKeyFile");
    }

    private void Require(bool condition, string name, string value, string expected) =>
        RegistryOptions.Require(condition, $"{Key}:{name} of store '{Id}'", value, expected);

    [GeneratedRegex(@"^[A-Za-z0-9._-]{1,64}\z")]
    private static partial Regex IdPattern();

    [GeneratedRegex(@"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\z")]
    private static partial Regex BucketPattern();
}
