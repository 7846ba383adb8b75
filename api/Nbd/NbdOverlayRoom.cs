using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Memory;
using Registry.Api.Usage;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Nbd;

/// <summary>The room that all overlays of the process share: bytes on disk, of which a project has at most half and which
/// count against its quota, and memory for what is known of their chunks.</summary>
internal sealed class NbdOverlayRooms(
    IDbContextFactory<RegistryDb> databases, StorageQuota quota, ProcessMemory memory, IOptions<RegistryOptions> options)
{
    private readonly ProjectShares _bytes = new(
        options.Value.Nbd.OverlaysMaxBytes, options.Value.HasProjects ? options.Value.Nbd.OverlaysMaxBytes / 2 : null);

    /// <summary>Bytes that overlays hold on disk, with what they have taken ahead.</summary>
    public long BytesTaken => _bytes.Taken;

    /// <summary>The room of one overlay, empty at first.</summary>
    /// <param name="projectId">The project of the client.</param>
    public NbdOverlayRoom For(string? projectId) => new(this, projectId);

    /// <summary>Takes bytes on disk.</summary>
    /// <exception cref="NbdRefusalException">NoSpace.</exception>
    /// <exception cref="RegistryException">QuotaExceeded, or DatabaseUnavailable.</exception>
    public async ValueTask<(IDisposable Disk, IDisposable Quota)> TakeBytesAsync(
        string? projectId, long bytes, CancellationToken cancellationToken)
    {
        var disk = _bytes.TryTake(projectId, bytes) ?? throw new NbdRefusalException(
            NbdError.NoSpace, "The disk space for overlays is used up, by all projects together or by your project.");
        try
        {
            return (disk, await quota.HoldAsync(databases, projectId, bytes, cancellationToken));
        }
        catch
        {
            disk.Dispose();
            throw;
        }
    }

    /// <summary>Takes memory.</summary>
    /// <exception cref="RegistryException">Busy: none became free in time.</exception>
    public async ValueTask<IDisposable> TakeMemoryAsync(
        string? projectId, long bytes, CancellationToken cancellationToken) =>
        await memory.TakeAsync(memory.Exports, projectId, bytes, cancellationToken);
}

/// <summary>The room of one overlay; for one caller at a time.</summary>
/// <param name="rooms">What it is taken from.</param>
/// <param name="projectId">The project of the client.</param>
internal sealed class NbdOverlayRoom(NbdOverlayRooms rooms, string? projectId) : IDisposable
{
    // By half of what it has: few questions to the database, and little that is taken and not used.
    private const int GrowthShare = 2;
    private const long StepBytesMost = 64L << 20;
    private const int StepPages = 64;

    private readonly List<IDisposable> _held = [];
    private readonly List<IDisposable> _quota = [];
    private long _bytes;
    private long _pages;

    /// <summary>Takes as much more as is needed.</summary>
    /// <param name="bytes">Bytes that the overlay is about to have on disk.</param>
    /// <param name="pages">Pages that it is about to have in memory.</param>
    /// <param name="pageBytes">Bytes of a page.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="NbdRefusalException">NoSpace.</exception>
    /// <exception cref="RegistryException">QuotaExceeded, Busy or DatabaseUnavailable.</exception>
    public async ValueTask RequireAsync(long bytes, long pages, int pageBytes, CancellationToken cancellationToken)
    {
        while (_bytes < bytes)
        {
            var missing = bytes - _bytes;
            var step = Math.Max(missing, Math.Min(_bytes / GrowthShare, StepBytesMost));
            try
            {
                await TakeAsync(step, cancellationToken);
            }
            catch (Exception e) when (step > missing
                && e is NbdRefusalException or RegistryException { Code: ErrorCode.QuotaExceeded })
            {
                await TakeAsync(missing, cancellationToken); // the last of the room is to be used too
            }
        }

        while (_pages < pages)
        {
            _held.Add(await rooms.TakeMemoryAsync(projectId, StepPages * pageBytes, cancellationToken));
            _pages += StepPages;
        }
    }

    private async ValueTask TakeAsync(long bytes, CancellationToken cancellationToken)
    {
        var (disk, quota) = await rooms.TakeBytesAsync(projectId, bytes, cancellationToken);
        _held.Add(disk);
        _quota.Add(quota);
        _bytes += bytes;
    }

    /// <summary>No longer counts the bytes against the project's quota: they become an image's, which reserves its
    /// own.</summary>
    public void ReleaseQuota()
    {
        _quota.ForEach(held => held.Dispose());
        _quota.Clear();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        ReleaseQuota();
        _held.ForEach(held => held.Dispose());
        _held.Clear();
    }
}
