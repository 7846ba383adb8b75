using Grpc.Core;
using Registry.Api.ImageData;
using Registry.Protos.V1;
using Registry.Storage.Domain;

namespace Registry.Api.Grpc;

/// <summary>The data and zeroes of an upload stream as a body.</summary>
internal sealed class GrpcUploadBody(IAsyncStreamReader<UploadRequest> messages, long? length) : IUploadBody
{
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

    private async ValueTask<bool> NextAsync(CancellationToken cancellationToken)
    {
        if (!await messages.MoveNext(cancellationToken))
        {
            return false;
        }

        var message = messages.Current;
        switch (message.PartCase)
        {
            case UploadRequest.PartOneofCase.Data:
                _data = message.Data.Memory;
                return true;
            case UploadRequest.PartOneofCase.Zeros when message.Zeros > 0:
                _zeros = message.Zeros;
                return true;
            default:
                throw new RegistryException(
                    ErrorCode.BadRequest, "After the start, an upload stream has data and zeros messages only.");
        }
    }
}
