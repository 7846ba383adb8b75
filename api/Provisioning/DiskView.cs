using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Registry.Api.Images;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Storage.Domain;

namespace Registry.Api.Provisioning;

/// <summary>Which file a view of a disk is: format, size, and for qcow2 its shape.</summary>
/// <param name="Shape">The qcow2 file's shape; null for a raw file.</param>
/// <param name="Size">Bytes of the disk wanted; null for the image's own.</param>
internal sealed record DiskView(QcowShape? Shape, long? Size)
{
    /// <summary>2^28: laying a view out takes a bit of memory for each cluster. 16 TiB in clusters of 64 KiB.</summary>
    private const long ClustersMax = 1L << 28;

    /// <summary>Goes up when the same image and options give another file.</summary>
    private const int LayoutVersion = 1;

    /// <summary>Reads a request's query.</summary>
    /// <exception cref="RegistryException">BadRequest: a value that makes no sense, or none for this
    /// format.</exception>
    public static DiskView Read(IQueryCollection query)
    {
        var size = Bytes(query, "size");
        string? compat = query["compat"];
        var cluster = Bytes(query, "cluster_size");
        switch ((string?)query["format"])
        {
            case null or "raw":
                return compat is null && cluster is null
                    ? new DiskView(null, size)
                    : throw ImageRules.Bad("compat and cluster_size are options of qcow2.");
            case "qcow2":
                return new DiskView(Shaped(compat, cluster), size);
            case var other:
                throw ImageRules.Bad(
                    $"'{ImageRules.Shown(other)}' is no format of a disk; it must be raw or qcow2.");
        }
    }

    /// <summary>The view's entity tag: equal tags are equal bytes, whichever replica or store they come from.</summary>
    /// <param name="image">The image; its bytes never change.</param>
    /// <param name="size">Bytes of the disk.</param>
    public string Tag(Image image, long size)
    {
        var text = string.Create(
            CultureInfo.InvariantCulture,
            $"{LayoutVersion} {image.Id} {image.HashAlgorithm} {image.HashValue} {image.DiskFormat} " +
            $"{image.ContainerFormat} {size} {Shape?.Version} {Shape?.ClusterSize}");
        return $"\"{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)).AsSpan(0, 16))}\"";
    }

    /// <summary>Refuses a disk that cannot be laid out.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public void Require(long size)
    {
        if (Shape is not null && size > ClustersMax * Shape.ClusterSize)
        {
            throw new RegistryException(
                ErrorCode.BadRequest,
                $"A qcow2 view with this cluster size may describe at most {ClustersMax * Shape.ClusterSize} bytes.",
                "size_too_large");
        }
    }

    /// <summary>A number of bytes in a request's query; null where there is none.</summary>
    /// <exception cref="RegistryException">BadRequest: it is no number of bytes.</exception>
    public static long? Bytes(IQueryCollection query, string name)
    {
        try
        {
            return query[name] is [{ } text, ..] ? Sizes.Parse(text) : null;
        }
        catch (FormatException e)
        {
            throw ImageRules.Bad($"{name}: {e.Message}");
        }
    }

    private static QcowShape Shaped(string? compat, long? cluster)
    {
        var shape = QcowShape.Default with
        {
            Version = compat switch
            {
                null or "1.1" or "v3" => 3,
                "0.10" or "v2" => 2,
                _ => throw ImageRules.Bad($"compat is 0.10 or 1.1, not '{ImageRules.Shown(compat)}'."),
            },
            ClusterSize = (int)Math.Min(cluster ?? QcowShape.Default.ClusterSize, int.MaxValue),
        };
        try
        {
            shape.Validate();
            return shape;
        }
        catch (DiskOperationException e)
        {
            throw ImageRules.Bad(e.Message);
        }
    }
}
