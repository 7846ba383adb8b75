using Grpc.Core;
using Registry.Api.ImageData;
using Registry.Protos.V1;
using Registry.Storage.Domain;

namespace Registry.Api.Grpc;

/// <summary>The data and zeroes of an upload stream as a body.</summary>
/// <param name="messages">The stream, past its start.</param>
/// <param name="length">Bytes as the start says; null when it does not.</param>
/// <param name="hasChecksums">Whether every message must have a checksum that is right.</param>
internal sealed class GrpcUploadBody(
    IAsyncStreamReader<UploadRequest> messages, long? length, bool hasChecksums) : IUploadBody
{
    private long _received;
    private ReadOnlyMemory<byte> _data;
    private long _zeros;

    /// <inheritdoc/>
    public long? Length => length;

    /// <inheritdoc/>
    public async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var filled = 0;
        while (filled < buffer.Length)
        {
            var rest = buffer[filled..];
            if (_data.Length > 0)
            {
                var count = Math.Min(rest.Length, _data.Length);
                _data[..count].CopyTo(rest);
                _data = _data[count..];
                filled += count;
            }
            else if (_zeros > 0)
            {
                var count = (int)Math.Min(rest.Length, _zeros);
                rest.Span[..count].Clear();
                _zeros -= count;
                filled += count;
            }
            else if (!await NextAsync(cancellationToken))
            {
                break;
            }
        }

        return filled;
    }

    /// <summary>Rejects a message that was damaged on the way.</summary>
    /// <param name="message">The message.</param>
    /// <param name="offset">Bytes of the image before it.</param>
    /// <param name="isRequired">Whether it must have a checksum.</param>
    /// <exception cref="RegistryException">BadRequest, <see cref="BlobIntake.DamagedOnTheWay"/>.</exception>
    public static void RequireWhole(UploadRequest message, long offset, bool isRequired)
    {
        if (message.HasChecksum ? message.Checksum != WireChecksum.Of(message, offset) : isRequired)
        {
            throw new RegistryException(
                ErrorCode.BadRequest,
                $"The upload was damaged on its way here, after {offset} bytes; send it again.",
                BlobIntake.DamagedOnTheWay);
        }
    }

    private async ValueTask<bool> NextAsync(CancellationToken cancellationToken)
    {
        if (!await messages.MoveNext(cancellationToken))
        {
            return false;
        }

        var message = messages.Current;
        RequireWhole(message, _received, hasChecksums);
        switch (message.PartCase)
        {
            case UploadRequest.PartOneofCase.Data:
                _data = message.Data.Memory;
                _received += _data.Length;
                return true;
            case UploadRequest.PartOneofCase.Zeros when message.Zeros > 0:
                _zeros = message.Zeros;
                _received += _zeros;
                return true;
            default:
                throw new RegistryException(
                    ErrorCode.BadRequest, "After the start, an upload stream has data and zeros messages only.");
        }
    }
}
