using Registry.Storage.Metadata;

namespace Registry.Api.ImageData;

/// <summary>A body of unknown length that asks for room of the project's quota before its bytes need it.</summary>
internal sealed class ReservingBody(IUploadBody body, UploadLedger ledger, UploadIntent intent) : IUploadBody
{
    private long _reserved = intent.ReservedBytes;
    private long _received;

    /// <inheritdoc/>
    public long? Length => body.Length;

    /// <inheritdoc/>
    public string? Sha512 => body.Sha512;

    /// <inheritdoc/>
    public string? Address => body.Address;

    /// <inheritdoc/>
    public async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var filled = await body.FillAsync(buffer, cancellationToken);
        _received += filled;
        if (_received > _reserved)
        {
            _reserved = await ledger.ReserveAsync(intent, _received, cancellationToken);
        }

        return filled;
    }
}
