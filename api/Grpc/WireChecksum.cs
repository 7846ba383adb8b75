using System.Buffers.Binary;
using System.IO.Hashing;
using Google.Protobuf;
using Registry.Protos.V1;

namespace Registry.Api.Grpc;

/// <summary>Checksums of messages that carry image bytes, so that a bit that flips between registry and client is detected
/// before the bytes are used: XXH3, as protos/registry/v1 says for each message.</summary>
internal static class WireChecksum
{
    /// <summary>Sets the checksum of a message.</summary>
    public static DiskResponse Seal(DiskResponse message)
    {
        message.Checksum = Of(message);
        return message;
    }

    /// <inheritdoc cref="Seal(DiskResponse)"/>
    public static MapResponse Seal(MapResponse message)
    {
        message.Checksum = Of(message);
        return message;
    }

    /// <inheritdoc cref="Seal(DiskResponse)"/>
    /// <param name="offset">Offset in the image of what the message carries.</param>
    public static DownloadResponse Seal(DownloadResponse message, long offset)
    {
        message.Checksum = Of(message, offset);
        return message;
    }

    /// <inheritdoc cref="Seal(DownloadResponse, long)"/>
    public static UploadRequest Seal(UploadRequest message, long offset)
    {
        message.Checksum = Of(message, offset);
        return message;
    }

    /// <summary>Calculates the checksum of content.</summary>
    /// <param name="content">Bytes of a disk or an image.</param>
    /// <param name="offset">Where they belong.</param>
    public static ulong Of(ReadOnlySpan<byte> content, long offset) => XxHash3.HashToUInt64(content, offset);

    /// <summary>Calculates the checksum that a message should have.</summary>
    public static ulong Of(DiskResponse message)
    {
        if (message.Data is { } data)
        {
            return Of(data.Data.Span, data.Offset);
        }

        var bare = message.HasChecksum ? message.Clone() : message;
        bare.ClearChecksum();
        return Of(bare.ToByteArray(), 0);
    }

    /// <inheritdoc cref="Of(DiskResponse)"/>
    public static ulong Of(MapResponse message)
    {
        var bare = message.HasChecksum ? message.Clone() : message;
        bare.ClearChecksum();
        return Of(bare.ToByteArray(), 0);
    }

    /// <inheritdoc cref="Of(DiskResponse)"/>
    /// <param name="offset">Offset in the image of what the message carries.</param>
    public static ulong Of(DownloadResponse message, long offset) =>
        message.PartCase == DownloadResponse.PartOneofCase.Zeros
            ? OfZeros(message.Zeros, offset)
            : Of(message.Data.Span, offset);

    /// <inheritdoc cref="Of(DownloadResponse, long)"/>
    public static ulong Of(UploadRequest message, long offset)
    {
        switch (message.PartCase)
        {
            case UploadRequest.PartOneofCase.Zeros:
                return OfZeros(message.Zeros, offset);
            case UploadRequest.PartOneofCase.Data:
                return Of(message.Data.Span, offset);
            default:
                var bare = message.HasChecksum ? message.Clone() : message;
                bare.ClearChecksum();
                return Of(bare.ToByteArray(), 0);
        }
    }

    private static ulong OfZeros(long length, long offset)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, length);
        return Of(bytes, offset);
    }
}
