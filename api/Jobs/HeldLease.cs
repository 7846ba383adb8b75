using System.Data.Common;
using Registry.Storage.Domain;

namespace Registry.Api.Jobs;

/// <summary>Keeps a claim alive while the work under it goes on; a lost claim cancels the work.</summary>
internal sealed class HeldLease : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop;
    private readonly Task _renewing;

    /// <summary>Starts to renew.</summary>
    /// <param name="renew">Extends the claim by <paramref name="lease"/>; false when it stands no more.</param>
    /// <param name="lease">How long the claim stands without renewal.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    public HeldLease(
        Func<CancellationToken, Task<bool>> renew, TimeSpan lease, TimeProvider clock, CancellationToken cancellationToken)
    {
        _stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        _renewing = RenewAsync(renew, lease, clock);
    }

    /// <summary>Fires when the claim is lost, or the work is cancelled.</summary>
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
    private async Task RenewAsync(Func<CancellationToken, Task<bool>> renew, TimeSpan lease, TimeProvider clock)
    {
        using var timer = new PeriodicTimer(lease / 3, clock);
        var renewed = clock.GetTimestamp();
        while (await timer.WaitForNextTickAsync(Token))
        {
            var started = clock.GetTimestamp();
            try
            {
                IsLost = !await renew(Token);
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
