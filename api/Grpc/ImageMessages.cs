using Google.Protobuf.WellKnownTypes;
using Registry.Protos.V1;
using Registry.Storage.Domain;
using Image = Registry.Storage.Domain.Image;
using ImageMessage = Registry.Protos.V1.Image;

namespace Registry.Api.Grpc;

/// <summary>Images as gRPC messages.</summary>
internal static class ImageMessages
{
    /// <summary>Makes the message of an image.</summary>
    public static ImageMessage From(Image image)
    {
        var message = new ImageMessage
        {
            Id = image.Id,
            Name = image.Name ?? "",
            Status = ImageStatuses.Name(image.Status),
            Visibility = ImageVisibilities.Name(image.Visibility),
            Owner = image.Owner ?? "",
            DiskFormat = image.DiskFormat ?? "",
            ContainerFormat = image.ContainerFormat ?? "",
            MinDisk = image.MinDisk,
            MinRam = image.MinRam,
            Protected = image.IsProtected,
            Hidden = image.IsHidden,
            Checksum = image.Checksum ?? "",
            HashAlgorithm = image.HashAlgorithm ?? "",
            HashValue = image.HashValue ?? "",
            CreatedAt = image.CreatedAt.ToTimestamp(),
            UpdatedAt = image.UpdatedAt.ToTimestamp(),
        };
        if (image.Size is { } size)
        {
            message.Size = size;
        }

        if (image.VirtualSize is { } virtualSize)
        {
            message.VirtualSize = virtualSize;
        }

        if (image.FailureCode is { } code)
        {
            message.LastFailure = new ErrorReason { Code = code, Message = image.FailureReason ?? "" };
        }

        message.Tags.AddRange(image.Tags.Select(t => t.Value));
        foreach (var property in image.Properties)
        {
            message.Properties[property.Name] = property.Value;
        }

        return message;
    }
}
