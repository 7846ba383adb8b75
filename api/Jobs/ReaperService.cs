using Microsoft.Extensions.Options;
using Registry.Api.Metrics;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Jobs;

/// <summary>Gives up expired uploads and removes the blobs that nothing refers to, again and again.</summary>
internal sealed partial class ReaperService(
    BlobReaper reaper, UploadLedger ledger, StoreSet stores, RegistryMetrics metrics, TimeProvider clock,
    IOptions<RegistryOptions> options, ILogger<ReaperService> logger) : BackgroundService
{
    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var uploads = options.Value.Uploads;
        using var timer = new PeriodicTimer(uploads.ReapInterval, clock);
        do
        {
            try
            {
                await ledger.ReclaimAsync(exceptOwner: null, stoppingToken);
                foreach (var store in stores.All)
                {
                    var removed = await reaper.ReapAsync(store, uploads.ReapGrace, stoppingToken);
                    metrics.Reaped(removed.Count);
                }
            }
            catch (Exception e) when (!stoppingToken.IsCancellationRequested)
            {
                Log.Failed(logger, e); // whatever it was: the next round tries again, and serving goes on
            }
        }
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "a round of the reaper failed")]
        public static partial void Failed(ILogger logger, Exception exception);
    }
}
