using Microsoft.Extensions.Options;
using Registry.Storage.Domain;

namespace Registry.Api.ImageData;

/// <summary>Bounds how many clients send bytes at once, and how many of one project.</summary>
public sealed class UploadSlots(IOptions<RegistryOptions> options) : IDisposable
{
    private readonly SemaphoreSlim _free = new(options.Value.Uploads.ConcurrentMax);
    private readonly Dictionary<string, int> _taken = new(StringComparer.Ordinal);

    /// <summary>Takes a slot; disposing gives it back.</summary>
    /// <param name="projectId">Who sends; null for nobody's.</param>
    /// <exception cref="RegistryException">Busy: all are taken, or all that one project may have.</exception>
    public IDisposable Take(string? projectId)
    {
        var max = options.Value.UploadsPerProject;
        if (max is not null && projectId is not null && !TryCount(projectId, max.Value))
        {
            throw new RegistryException(
                ErrorCode.Busy, $"{max} uploads of your project are under way; try again later.", "project_busy");
        }

        var counted = max is null ? null : projectId;
        if (_free.Wait(0))
        {
            return new Slot(this, counted);
        }

        Uncount(counted);
        throw new RegistryException(
            ErrorCode.Busy, $"{options.Value.Uploads.ConcurrentMax} uploads are under way; try again later.");
    }

    /// <inheritdoc/>
    public void Dispose() => _free.Dispose();

    private bool TryCount(string projectId, int max)
    {
        lock (_taken)
        {
            var count = _taken.GetValueOrDefault(projectId);
            if (count >= max)
            {
                return false;
            }

            _taken[projectId] = count + 1;
            return true;
        }
    }

    // A project without uploads is forgotten: there may be any number of projects.
    private void Uncount(string? projectId)
    {
        if (projectId is null)
        {
            return;
        }

        lock (_taken)
        {
            if (--_taken[projectId] == 0)
            {
                _taken.Remove(projectId);
            }
        }
    }

    private sealed class Slot(UploadSlots slots, string? counted) : IDisposable
    {
        public void Dispose()
        {
            slots.Uncount(counted);
            slots._free.Release();
        }
    }
}
