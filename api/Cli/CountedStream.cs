using Registry.Api.ImageData;

namespace Registry.Api.Cli;

/// <summary>A stream that tells how many bytes are read from it.</summary>
/// <param name="stream">The bytes; not disposed of.</param>
/// <param name="count">Hears of each read.</param>
internal sealed class CountedStream(Stream stream, Action<long> count) : ForwardStream
{
    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var read = await stream.ReadAsync(buffer, cancellationToken);
        count(read);
        return read;
    }
}
