using System.Data.Common;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.ImageData;

/// <summary>Keeps an upload's claim alive while its bytes arrive; a lost claim cancels the upload.</summary>
internal sealed class UploadLease : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop;
    private readonly Task _renewing;

    /// <summary>Starts to renew.</summary>
    public UploadLease(
        UploadLedger ledger,
        UploadIntent intent,
        TimeSpan lease,
        TimeProvider clock,
        CancellationToken cancellationToken)
    {
        _stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        _renewing = RenewAsync(ledger, intent, lease, clock);
    }

    /// <summary>Fires when the claim is lost, or the client went away.</summary>
    public CancellationToken Token => _stop.Token;

    /// <summary>Whether the claim is lost.</summary>
    public bool IsLost { get; private set; }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _renewing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    // One renewal that fails is tried again at the next tick. A claim that may have run out meanwhile is as good as
    // lost: somebody else may have it.
    private async Task RenewAsync(UploadLedger ledger, UploadIntent intent, TimeSpan lease, TimeProvider clock)
    {
        using var timer = new PeriodicTimer(lease / 3, clock);
        var renewed = clock.GetTimestamp();
        while (await timer.WaitForNextTickAsync(Token))
        {
            var started = clock.GetTimestamp();
            try
            {
                IsLost = !await ledger.RenewAsync(intent, lease, Token);
                renewed = started;
            }
            catch (Exception e) when (e is RegistryException or DbException)
            {
                IsLost = clock.GetElapsedTime(renewed) >= lease;
            }

            if (IsLost)
            {
                await _stop.CancelAsync();
                return;
            }
        }
    }
}
