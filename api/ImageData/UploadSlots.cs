using Microsoft.Extensions.Options;
using Registry.Api.Usage;
using Registry.Storage.Domain;

namespace Registry.Api.ImageData;

/// <summary>Bounds how many clients send bytes at once, and how many of one project.</summary>
public sealed class UploadSlots(IOptions<RegistryOptions> options) : IDisposable
{
    private readonly SemaphoreSlim _free = new(options.Value.Uploads.ConcurrentMax);
    private readonly ProjectSlots _projects = new(options.Value.UploadsPerProject);

    /// <summary>Takes a slot; disposing gives it back.</summary>
    /// <param name="projectId">Who sends; null for nobody's.</param>
    /// <exception cref="RegistryException">Busy: all are taken, or all that one project may have.</exception>
    public IDisposable Take(string? projectId)
    {
        var counted = _projects.TryTake(projectId) ?? throw new RegistryException(
            ErrorCode.Busy, $"{options.Value.UploadsPerProject} uploads of your project are under way; try again later.",
            "project_busy");
        if (_free.Wait(0))
        {
            return new Slot(_free, counted);
        }

        counted.Dispose();
        throw new RegistryException(
            ErrorCode.Busy, $"{options.Value.Uploads.ConcurrentMax} uploads are under way; try again later.");
    }

    /// <inheritdoc/>
    public void Dispose() => _free.Dispose();

    private sealed class Slot(SemaphoreSlim free, IDisposable counted) : IDisposable
    {
        public void Dispose()
        {
            counted.Dispose();
            free.Release();
        }
    }
}
