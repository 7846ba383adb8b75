using Microsoft.Extensions.Options;
using Registry.Api.Usage;
using Registry.Storage.Domain;

namespace Registry.Api.ImageData;

/// <summary>Bounds how many clients send bytes concurrently, and how many of one project; and apart from these, how many
/// have not sent their first byte.</summary>
internal sealed class UploadSlots(IOptions<RegistryOptions> options, TimeProvider clock)
{
    private readonly UploadsSection _settings = options.Value.Uploads;
    private readonly ProjectShares _sending = new(
        options.Value.Uploads.ConcurrentMax, options.Value.UploadsPerProject, options.Value.Uploads.ConcurrentMax);

    // A silent client holds a connection and nothing else. An address may be a proxy that many projects share.
    private readonly ProjectShares _silent = new(
        options.Value.Uploads.SilentMax, options.Value.UploadsPerProject is null ? null : options.Value.Uploads.SilentMax / 4);

    private readonly ProjectShares _addresses = new(
        options.Value.Uploads.SilentMax, options.Value.Uploads.SilentMax / 2);

    /// <summary>Waits for the first byte of a body, or its end, and then for a slot; disposing gives it back.</summary>
    /// <param name="projectId">The project that sends; null for none.</param>
    /// <param name="body">The body.</param>
    /// <param name="cancellationToken">Fires when the client goes away.</param>
    /// <exception cref="RegistryException">Busy: no slot became free in time, of all or of those that one project may have, or
    /// too many bodies are waited for. -or- TooSlow: nothing came in time.</exception>
    public async ValueTask<IDisposable> TakeAsync(
        string? projectId, IUploadBody body, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(_settings.FirstByte);
        var begun = body.BeginAsync(patience.Token).AsTask();
        if (!begun.IsCompleted)
        {
            await WaitAsync(projectId, body.Address, begun, patience);
        }

        try
        {
            await begun;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new RegistryException(
                ErrorCode.TooSlow, $"No byte arrived in {_settings.FirstByte.TotalSeconds:0} seconds.");
        }

        return await TakeAsync(projectId, cancellationToken);
    }

    /// <summary>Waits for a slot; disposing gives it back.</summary>
    /// <param name="projectId">The project that sends; null for none.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="RegistryException">Busy: none became free in time.</exception>
    public async ValueTask<IDisposable> TakeAsync(string? projectId, CancellationToken cancellationToken) =>
        await _sending.TakeAsync(projectId, 1, _settings.Wait, clock, cancellationToken)
        ?? throw (_sending.IsOfProject(projectId)
            ? new RegistryException(
                ErrorCode.Busy, $"{options.Value.UploadsPerProject} uploads of your project are under way; try again later.",
                "project_busy")
            : new RegistryException(
                ErrorCode.Busy, $"{_settings.ConcurrentMax} uploads are under way; try again later."));

    private async Task WaitAsync(string? projectId, string? address, Task begun, CancellationTokenSource patience)
    {
        using var project = _silent.TryTake(projectId);
        using var place = project is null ? null : _addresses.TryTake(address);
        if (place is null)
        {
            await patience.CancelAsync(); // nothing may read the body while the refusal is sent
        }

        await begun.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (place is null)
        {
            throw TooManySilent();
        }
    }

    private static RegistryException TooManySilent() => new(
        ErrorCode.Busy, "Too many uploads wait for their first byte; try again later.", "project_busy");
}
