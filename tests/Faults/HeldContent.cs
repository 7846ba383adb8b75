using System.Net;

namespace Registry.Faults;

/// <summary>A body whose second half waits.</summary>
internal sealed class HeldContent(byte[] bytes) : HttpContent
{
    private readonly TaskCompletionSource _half = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _go = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Ends when the first half was sent.</summary>
    public Task IsHalfSent => _half.Task;

    /// <summary>Sends the second half.</summary>
    public void Continue() => _go.SetResult();

    /// <inheritdoc/>
    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
    {
        await stream.WriteAsync(bytes.AsMemory(0, bytes.Length / 2));
        await stream.FlushAsync();
        _half.SetResult();
        await _go.Task;
        await stream.WriteAsync(bytes.AsMemory(bytes.Length / 2));
    }

    /// <inheritdoc/>
    protected override bool TryComputeLength(out long length)
    {
        length = bytes.Length;
        return true;
    }
}
