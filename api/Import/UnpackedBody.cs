using Registry.Api.ImageData;
using Registry.Storage.Domain;
using ZstdSharp;

namespace Registry.Api.Import;

/// <summary>What compressed staged bytes come to, as a body, within a budget.</summary>
/// <param name="packed">The compressed bytes.</param>
/// <param name="unpacked">What comes out of them.</param>
/// <param name="expansionMax">Most bytes that one compressed byte may come to, beyond the first
/// <see cref="FreeBytes"/>.</param>
/// <param name="progress">Hears how many compressed bytes are done.</param>
internal sealed class UnpackedBody(StagedStream packed, Stream unpacked, int expansionMax, Action<long> progress)
    : IUploadBody, IAsyncDisposable
{
    /// <summary>Bytes that any compressed file may come to: 1 GiB.</summary>
    public const long FreeBytes = 1L << 30;

    private long _produced;

    /// <inheritdoc/>
    public long? Length => null;

    /// <inheritdoc/>
    public async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        int filled;
        try
        {
            filled = await unpacked.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellationToken);
        }
        catch (Exception e) when (IsDamage(e))
        {
            throw Damaged(e);
        }

        _produced += filled;
        if (_produced - FreeBytes > packed.Consumed * (double)expansionMax)
        {
            throw new RegistryException(
                ErrorCode.ImageRejected,
                $"The compressed data comes to more than {expansionMax} times its size.",
                "expansion_too_large");
        }

        progress(packed.Consumed);
        return filled;
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => unpacked.DisposeAsync();

    /// <summary>Whether an exception says that compressed bytes are damaged.</summary>
    public static bool IsDamage(Exception exception) =>
        exception is InvalidDataException or ZstdException or EndOfStreamException
            or SharpCompress.Common.SharpCompressException or IndexOutOfRangeException or OverflowException;

    /// <summary>The refusal of damaged bytes.</summary>
    public static RegistryException Damaged(Exception cause) =>
        new(ErrorCode.ImageRejected, $"The compressed data is damaged: {cause.Message}", "compressed_damaged", cause);
}
