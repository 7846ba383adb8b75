using Microsoft.Extensions.Options;
using Registry.Storage.Domain;

namespace Registry.Api.ImageData;

/// <summary>Bounds how many clients send bytes at once.</summary>
public sealed class UploadSlots(IOptions<RegistryOptions> options) : IDisposable
{
    private readonly SemaphoreSlim _free = new(options.Value.Uploads.ConcurrentMax);

    /// <summary>Takes a slot; disposing gives it back.</summary>
    /// <exception cref="RegistryException">Busy: all are taken.</exception>
    public IDisposable Take() =>
        _free.Wait(0)
            ? new Slot(_free)
            : throw new RegistryException(
                ErrorCode.Busy, $"{options.Value.Uploads.ConcurrentMax} uploads are under way; try again later.");

    /// <inheritdoc/>
    public void Dispose() => _free.Dispose();

    private sealed class Slot(SemaphoreSlim free) : IDisposable
    {
        public void Dispose() => free.Release();
    }
}
