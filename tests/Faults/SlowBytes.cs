using System.Net;

namespace Registry.Faults;

/// <summary>A body that is sent in 16 parts with pauses, so that a fault finds it half sent.</summary>
internal sealed class SlowBytes(ReadOnlyMemory<byte> content, TimeSpan duration) : HttpContent
{
    private const int Parts = 16;

    /// <inheritdoc/>
    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
    {
        for (var part = 0; part < Parts; part++)
        {
            var from = (int)((long)content.Length * part / Parts);
            var to = (int)((long)content.Length * (part + 1) / Parts);
            await stream.WriteAsync(content[from..to]);
            await stream.FlushAsync();
            await Task.Delay(duration / Parts);
        }
    }

    /// <inheritdoc/>
    protected override bool TryComputeLength(out long length)
    {
        length = content.Length;
        return true;
    }
}
