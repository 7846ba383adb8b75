using Registry.Api.Stores;
using Registry.Storage.Blobs.S3;
using Registry.Storage.Domain;

namespace Registry.Api.Adoption;

/// <summary>Opens what Glance's locations name, as far as the operator allowed it: files below the directories of
/// Glance's file store, objects in buckets that are configured as stores, with the configured keys.</summary>
/// <param name="roots">The directories.</param>
/// <param name="stores">The configured stores.</param>
internal sealed class GlanceSources(IReadOnlyList<FileRoot> roots, StoreSet stores)
{
    /// <summary>Opens a location.</summary>
    /// <param name="location">The location.</param>
    /// <param name="size">Length in bytes as Glance has it; null when it does not say.</param>
    /// <exception cref="RegistryException">NotFound, Forbidden or BadRequest: there is nothing there, it is not allowed,
    /// or its length is another.</exception>
    /// <exception cref="IOException">It cannot be opened.</exception>
    public SourceBytes Open(GlanceLocation location, long? size) => location switch
    {
        GlanceLocation.InFile file => OpenFile(file.Path, size),
        GlanceLocation.InBucket bucket => OpenObject(bucket, size),
        GlanceLocation.Elsewhere elsewhere => throw new RegistryException(
            ErrorCode.BadRequest, $"Its bytes are in a store of kind {elsewhere.Scheme}, which cannot be read.",
            "store_kind"),
        _ => throw new ArgumentOutOfRangeException(nameof(location)),
    };

    private FileSource OpenFile(string path, long? size)
    {
        foreach (var root in roots)
        {
            if (root.Below(path) is { } relative)
            {
                return OpenFile(root, relative, size);
            }
        }

        var known = string.Join(", ", roots.Select(r => r.GlancePath));
        throw new RegistryException(
            ErrorCode.Forbidden, $"'{path}' is in none of the directories of Glance's file store ({known}).",
            "outside_of_store");
    }

    private static FileSource OpenFile(FileRoot root, string relative, long? size)
    {
        FileSource source;
        try
        {
            source = new FileSource(root.Here.Open(relative));
        }
        catch (UnauthorizedAccessException e)
        {
            throw new RegistryException(ErrorCode.Forbidden, e.Message, "outside_of_store", e);
        }
        catch (FileNotFoundException e)
        {
            throw new RegistryException(ErrorCode.NotFound, e.Message, "no_file", e);
        }

        var length = RandomAccess.GetLength(source.File);
        source.Length = size ?? length;
        if (length == source.Length)
        {
            return source;
        }

        source.Dispose();
        throw new RegistryException(
            ErrorCode.BadRequest, $"The file has {length} bytes and the image {size}.", "size_mismatch");
    }

    private ObjectSource OpenObject(GlanceLocation.InBucket location, long? size)
    {
        var store = stores.All.FirstOrDefault(s =>
            s.Settings.Kind == "s3" && s.Settings.Bucket == location.Bucket
            && HasHost(new Uri(s.Settings.Endpoint), location.Host));
        return store?.Blobs is S3BlobStore bucket
            ? new ObjectSource(bucket, location.Key) { Length = size }
            : throw new RegistryException(
                ErrorCode.Forbidden,
                $"Bucket '{location.Bucket}' at {location.Host} is not configured: add it to Registry:Stores, " +
                "with ReadOnly.",
                "bucket_not_configured");
    }

    private static bool HasHost(Uri endpoint, string host)
    {
        var usual = endpoint.Scheme == Uri.UriSchemeHttps ? ":443" : ":80";
        return endpoint.Authority.Equals(
            host.EndsWith(usual, StringComparison.Ordinal) ? host[..^usual.Length] : host,
            StringComparison.OrdinalIgnoreCase);
    }
}
