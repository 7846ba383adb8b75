using Registry.Api.ImageData;
using Registry.Storage.Domain;

namespace Registry.Api.Import;

/// <summary>What compressed staged bytes come to, as a body, within budgets of bytes and of time.</summary>
/// <remarks>The time is that of the decompressor alone, without the waits for the store. What compressors make of disks is
/// unpacked at many times the rates of the budget, also on a busy machine; crafted bytes cost time and come to
/// nothing.</remarks>
/// <param name="packed">The compressed bytes.</param>
/// <param name="unpacked">What comes out of them.</param>
/// <param name="expansionMax">Most bytes that one compressed byte may come to, beyond the first
/// <see cref="FreeBytes"/>.</param>
/// <param name="clock">The clock of the budget of time.</param>
/// <param name="progress">Hears how many compressed bytes are done.</param>
internal sealed class UnpackedBody(
    StagedStream packed, Stream unpacked, int expansionMax, TimeProvider clock, Action<long> progress)
    : IUploadBody, IAsyncDisposable
{
    /// <summary>Bytes that any compressed file may come to: 16 MiB.</summary>
    public const long FreeBytes = 16L << 20;

    // Unpacking may take this long, and as much longer as these rates give.
    private const double FreeSeconds = 10;
    private const double UnpackedBytesPerSecond = 128 << 10;
    private const double PackedBytesPerSecond = 128 << 10;

    private long _produced;
    private TimeSpan _worked;
    private long _began;
    private TimeSpan _waited;

    /// <inheritdoc/>
    public long? Length => null;

    /// <inheritdoc/>
    public async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        int filled;
        (_began, _waited) = (clock.GetTimestamp(), packed.Waited);
        packed.Reading = RequireTime; // within one read of ours there may be any number of theirs
        try
        {
            filled = await unpacked.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellationToken);
        }
        catch (Exception e) when (packed.IsOfTheData(e))
        {
            throw Compression.Refusal(e);
        }

        RequireTime();
        _worked = Worked();
        _produced += filled;
        if (_produced - FreeBytes > packed.Consumed * (double)expansionMax)
        {
            throw new RegistryException(
                ErrorCode.ImageRejected,
                $"The compressed data comes to more than {expansionMax} times its size: its first {packed.Consumed} bytes to {_produced}.",
                "expansion_too_large");
        }

        progress(packed.Consumed);
        return filled;
    }

    private TimeSpan Worked() => _worked + clock.GetElapsedTime(_began) - (packed.Waited - _waited);

    private void RequireTime()
    {
        var budget = FreeSeconds + (_produced / UnpackedBytesPerSecond) + (packed.Consumed / PackedBytesPerSecond);
        if (Worked().TotalSeconds > budget)
        {
            throw new RegistryException(
                ErrorCode.ImageRejected,
                $"Unpacking the first {packed.Consumed} bytes of the compressed data took more than {budget:0} seconds.",
                "unpacking_too_slow");
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => unpacked.DisposeAsync();
}
