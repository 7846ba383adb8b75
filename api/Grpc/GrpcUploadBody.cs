using Grpc.Core;
using Registry.Api.ImageData;
using Registry.Protos.V1;
using Registry.Storage.Domain;

namespace Registry.Api.Grpc;

/// <summary>The data and zeroes of an upload stream as a body.</summary>
/// <param name="messages">The stream, past its start.</param>
/// <param name="length">Bytes as the start says; null when it does not.</param>
/// <param name="hasChecksums">Whether every message must have a checksum that is right.</param>
/// <param name="address">The client's network address; null where it is not known.</param>
internal sealed class GrpcUploadBody(
    IAsyncStreamReader<UploadRequest> messages, long? length, bool hasChecksums, string? address = null) : IUploadBody
{
    private readonly ZeroBudget _budget = new();
    private long _received;
    private ReadOnlyMemory<byte> _data;
    private long _zeros;
    private bool _isEnded;

    /// <inheritdoc/>
    public long? Length => length;

    /// <inheritdoc/>
    public string? Address => address;

    /// <inheritdoc/>
    public async ValueTask BeginAsync(CancellationToken cancellationToken) =>
        _isEnded = !await NextAsync(cancellationToken);

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
            else if (_isEnded || !await NextAsync(cancellationToken))
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
                Receive(message.Data.Length);
                _data = message.Data.Memory;
                _budget.AddData(_data.Length);
                return true;
            case UploadRequest.PartOneofCase.Zeros when message.Zeros > 0:
                Receive(message.Zeros);
                RequireBudget(message.Zeros);
                _zeros = message.Zeros;
                return true;
            default:
                throw new RegistryException(
                    ErrorCode.BadRequest, "After the start, an upload stream has data and zeros messages only.");
        }
    }

    // Before any of the bytes is worked on: a message of a few bytes can name any number of zeroes.
    private void Receive(long bytes)
    {
        if (length is { } stated && bytes > stated - _received)
        {
            throw UploadPass.SizeMismatch(stated, bytes > long.MaxValue - _received ? long.MaxValue : _received + bytes);
        }

        _received = bytes <= long.MaxValue - _received
            ? _received + bytes
            : throw new RegistryException(ErrorCode.TooLarge, "The upload is larger than any image may be.");
    }

    private void RequireBudget(long zeros)
    {
        if (!_budget.TryTake(zeros))
        {
            throw new RegistryException(
                ErrorCode.TooLarge,
                $"The upload names more zeroes than {ZeroBudget.FreeBytes} and {ZeroBudget.PerByte} for each byte of data: " +
                "send them as data.",
                "too_many_zeros");
        }
    }
}
