using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Metrics;
using Registry.Api.Policy;
using Registry.Api.Stores;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Engine.Vhd;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Provisioning;

/// <summary>A stored image, open as the disk it describes.</summary>
internal sealed class StoredDisk : IAsyncDisposable
{
    private readonly RegistryMetrics _metrics;

    private StoredDisk(Image image, StoredBlob blob, DiskImage disk, RegistryMetrics metrics) =>
        (Image, Blob, Disk, _metrics) = (image, blob, disk, metrics);

    /// <summary>What the registry knows of the image.</summary>
    public Image Image { get; }

    /// <summary>The stored bytes, verified.</summary>
    public StoredBlob Blob { get; }

    /// <summary>The disk.</summary>
    public DiskImage Disk { get; }

    /// <summary>Opens an image's disk, from the allocation map kept at upload where there is one.</summary>
    public static async ValueTask<StoredDisk> OpenAsync(
        StoreSet stores, Image image, RegistryMetrics metrics, CancellationToken cancellationToken)
    {
        var format = FormatOf(image);
        var blob = await stores.OpenAsync(image, cancellationToken);
        try
        {
            blob.Share();
            return await OpenAsync(blob, image, format, metrics, cancellationToken);
        }
        catch
        {
            blob.Dispose();
            throw;
        }
    }

    /// <summary>Opens the disk in a stored blob.</summary>
    /// <exception cref="RegistryException">Conflict: it cannot be read as a disk of that format.</exception>
    public static async ValueTask<StoredDisk> OpenAsync(
        StoredBlob blob, Image image, DiskFormat format, RegistryMetrics metrics,
        CancellationToken cancellationToken)
    {
        try
        {
            return new StoredDisk(image, blob, await OpenDiskAsync(blob, format, cancellationToken), metrics);
        }
        catch (ImageFormatException e)
        {
            throw new RegistryException(
                ErrorCode.Conflict,
                $"Image {image.Id} cannot be read as a disk: {e.Message}",
                FormatErrors.Code(e.Error));
        }
    }

    /// <summary>Opens the disk in a blob, from the allocation map kept at upload where there is one.</summary>
    /// <exception cref="ImageFormatException">It cannot be read as a disk of that format.</exception>
    public static async ValueTask<DiskImage> OpenDiskAsync(
        IVerifiedBytes blob, DiskFormat format, CancellationToken cancellationToken)
    {
        var source = new BlobByteSource(blob);
        return blob.MapLength > 0 && format != DiskFormat.Raw
            ? await MappedImage.OpenAsync(new BlobMapSource(blob), source, cancellationToken)
            : await DiskImages.OpenAsync(source, format, DiskOpenOptions.Strict, cancellationToken);
    }

    /// <summary>Bytes of the disk to make: what was asked for, or the image's own.</summary>
    /// <exception cref="RegistryException">BadRequest: less than the image's.</exception>
    public long SizeFor(long? wanted) =>
        wanted is null || wanted >= Disk.VirtualSize
            ? wanted ?? Disk.VirtualSize
            : throw new RegistryException(
                ErrorCode.BadRequest,
                $"The disk wanted ({wanted} bytes) is smaller than the image's ({Disk.VirtualSize} bytes).",
                "size_too_small");

    /// <summary>Checks every reference in an upload that is not committed yet, and keeps its allocation map in the
    /// blob's index. Raw content, a fixed VHD's too, needs no map: the index knows its zeroes.</summary>
    /// <returns>The disk; null where the engine does not read the format.</returns>
    /// <exception cref="RegistryException">ImageRejected, with the engine's reason.</exception>
    public static async ValueTask<IndexedDisk?> IndexAsync(
        IBlobWriter writer, BlobIndexWriter index, DiskFormat format, CancellationToken cancellationToken)
    {
        if (!FormatNames.IsContainer(format) || format == DiskFormat.Ploop)
        {
            return null;
        }

        var source = new PendingByteSource(writer, index.DataLength);
        try
        {
            await using var disk = await DiskImages.OpenAsync(
                source, format, DiskOpenOptions.Strict, cancellationToken);
            if (disk is not VhdFixedImage)
            {
                await AllocationMapWriter.WriteAsync(disk, index.AppendMapAsync, cancellationToken);
            }

            return new IndexedDisk(disk.VirtualSize, await NestedReference.FindAsync(disk, cancellationToken));
        }
        catch (ImageFormatException e)
        {
            throw Refusal(e);
        }
    }

    /// <summary>The refusal of content that is not a sound disk image.</summary>
    public static RegistryException Refusal(ImageFormatException cause) => new(
        ErrorCode.ImageRejected, $"Image failed safety checks: {cause.Message}", FormatErrors.Code(cause.Error), cause);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _metrics.StoreRead(Blob.BytesRead);
        await Disk.DisposeAsync();
        Blob.Dispose();
    }

    /// <summary>How an image's bytes are read as a disk.</summary>
    /// <exception cref="RegistryException">BadRequest: not at all.</exception>
    public static DiskFormat FormatOf(Image image) => (image.ContainerFormat, image.DiskFormat) switch
    {
        ("bare", "qcow2") => DiskFormat.Qcow2,
        ("bare", "vmdk") => DiskFormat.Vmdk,
        ("bare", "vhd") => DiskFormat.Vhd,
        ("bare", "vhdx") => DiskFormat.Vhdx,
        ("bare", "vdi") => DiskFormat.Vdi,
        ("bare", "raw" or "iso") or ("ami" or "ari" or "aki", _) => DiskFormat.Raw,
        _ => throw new RegistryException(
            ErrorCode.BadRequest,
            $"An image of disk_format {image.DiskFormat} in container_format {image.ContainerFormat} " +
            "cannot be provisioned.",
            "format_not_provisionable"),
    };
}

/// <summary>What is known of the disk in an upload.</summary>
/// <param name="VirtualSize">Bytes of the disk.</param>
/// <param name="Nested">What in its guest bytes refers to another file; null for nothing.</param>
internal readonly record struct IndexedDisk(long VirtualSize, string? Nested);

/// <summary>Opens the disks that callers ask for.</summary>
internal sealed class StoredDisks(
    IDbContextFactory<RegistryDb> databases, StoreSet stores, PolicyEngine policy, RegistryMetrics metrics,
    IOptions<RegistryOptions> options)
{
    /// <summary>Opens an image's disk for a caller.</summary>
    /// <exception cref="RegistryException">NotFound, Forbidden (deactivated), Conflict (no bytes yet).</exception>
    public async ValueTask<StoredDisk> OpenAsync(Caller caller, string imageId, CancellationToken cancellationToken)
    {
        return await OpenAsync(await RequireAsync(caller, imageId, cancellationToken), cancellationToken);
    }

    /// <summary>Finds an image that a caller may read.</summary>
    /// <exception cref="RegistryException">NotFound, Forbidden (deactivated), Conflict (no bytes yet).</exception>
    public async ValueTask<Image> RequireAsync(Caller caller, string imageId, CancellationToken cancellationToken)
    {
        var image = await FindAsync(caller.Viewer, imageId, cancellationToken);
        ImageData.ImageDownloads.RequireReadable(policy, caller, image);
        RequireBytes(image);
        return image;
    }

    /// <summary>Opens an image's disk for a job whose caller was allowed to read it.</summary>
    /// <exception cref="RegistryException">NotFound, Conflict (no bytes, or deactivated since).</exception>
    public async ValueTask<StoredDisk> OpenAsync(string imageId, CancellationToken cancellationToken)
    {
        var image = await FindAsync(Viewer.System, imageId, cancellationToken);
        return image.Status == ImageStatus.Deactivated
            ? throw new RegistryException(ErrorCode.Conflict, $"Image {imageId} has been deactivated.", "deactivated")
            : await OpenAsync(image, cancellationToken);
    }

    private async ValueTask<Image> FindAsync(Viewer viewer, string imageId, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await ImageQueries.FindAsync(db, imageId, viewer, tracking: false, cancellationToken)
            ?? throw Images.ImageCommands.NotFound(imageId);
    }

    private async ValueTask<StoredDisk> OpenAsync(Image image, CancellationToken cancellationToken)
    {
        RequireBytes(image);
        var stored = await StoredDisk.OpenAsync(stores, image, metrics, cancellationToken);
        try
        {
            if (options.Value.Provisioning.NestedReferences == ProvisioningSection.Refuse)
            {
                await RequireNotNestedAsync(stored, cancellationToken);
            }

            return stored;
        }
        catch
        {
            await stored.DisposeAsync();
            throw;
        }
    }

    private static async ValueTask RequireNotNestedAsync(StoredDisk stored, CancellationToken cancellationToken)
    {
        string? nested;
        try
        {
            nested = await NestedReference.FindAsync(stored.Disk, cancellationToken);
        }
        catch (ImageFormatException e)
        {
            throw new RegistryException(
                ErrorCode.Conflict, $"Image {stored.Image.Id} cannot be read as a disk: {e.Message}", FormatErrors.Code(e.Error));
        }

        if (nested is not null)
        {
            throw new RegistryException(
                ErrorCode.Conflict,
                $"The disk of image {stored.Image.Id} is itself a disk image that refers to another file ({nested}); this " +
                "server does not provision such disks.",
                "nested_reference");
        }
    }

    private static void RequireBytes(Image image)
    {
        if (image.Locations.Count == 0)
        {
            throw new RegistryException(
                ErrorCode.Conflict,
                $"Image {image.Id} has no data: its status is {ImageStatuses.Name(image.Status)}.",
                "no_data");
        }
    }
}
