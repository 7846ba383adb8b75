using Google.Protobuf;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Stores;
using Registry.Engine.Inspect;
using Registry.Protos.V1;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Api.Provisioning;

/// <summary>Hands out addresses under which those who may download an image can read its bytes in the store itself.</summary>
internal sealed class DirectReads(StoredDisks disks, StoreSet stores, IOptions<RegistryOptions> options)
{
    private const int SegmentsMax = 256;

    /// <summary>Tells how an image lies in its store, and where some of its segments can be read for a while.</summary>
    /// <exception cref="RegistryException">As of <see cref="StoredDisks.RequireAsync"/>. -or- Conflict: the registry is not
    /// set up for it, or none of the image's stores signs addresses. -or- BadRequest: no such segment.</exception>
    public async ValueTask<ImageSource> DescribeAsync(
        Caller caller, string imageId, IReadOnlyCollection<string> segments, CancellationToken cancellationToken)
    {
        var image = await disks.RequireAsync(caller, imageId, cancellationToken);
        var format = StoredDisk.FormatOf(image);
        var settings = options.Value.Provisioning;
        if (!settings.DirectReads)
        {
            throw new RegistryException(
                ErrorCode.Conflict, "This registry hands out no addresses of its stores.", "direct_reads_off");
        }

        var (location, store) = Addressed(image);
        var shape = await store.ShapeAsync(location.Key, cancellationToken);
        var life = TimeSpan.FromSeconds(settings.DirectReadSeconds);
        var source = new ImageSource
        {
            DiskFormat = FormatNames.Of(format),
            Generation = location.Generation,
            DataLength = shape.DataLength,
            DataSegmentBytes = shape.DataSegmentBytes,
            IndexLength = shape.IndexLength,
            IndexSegmentBytes = shape.IndexSegmentBytes,
            IndexDigest = ByteString.CopyFrom(location.IndexDigest),
            Seconds = settings.DirectReadSeconds,
        };
        if (segments.Count > SegmentsMax)
        {
            throw new RegistryException(
                ErrorCode.BadRequest, $"{segments.Count} segments are asked for; at most {SegmentsMax} at once.");
        }

        foreach (var name in segments)
        {
            if (!BlobLayout.TryParseSegment(name, out var part, out var number)
                || number >= shape.Segments(part))
            {
                throw new RegistryException(ErrorCode.BadRequest, $"The image has no segment '{name}'.");
            }

            source.Addresses.Add((await store.AddressAsync(location.Key, part, number, life)).AbsoluteUri);
        }

        return source;
    }

    private (ImageLocation Location, IAddressedStore Store) Addressed(Storage.Domain.Image image)
    {
        foreach (var location in stores.InOrder(image.Locations))
        {
            if (stores.Get(location.StoreId) is IAddressedStore store)
            {
                return (location, store);
            }
        }

        throw new RegistryException(
            ErrorCode.Conflict, $"No store that has image {image.Id} signs addresses.", "direct_reads_impossible");
    }
}
