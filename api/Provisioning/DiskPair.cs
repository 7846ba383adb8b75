using Registry.Api.Auth;
using Registry.Engine.Convert;
using Registry.Storage.Domain;

namespace Registry.Api.Provisioning;

/// <summary>Two images' disks that are compared.</summary>
/// <param name="Newer">What became of it.</param>
/// <param name="Older">What it was.</param>
internal sealed record DiskPair(StoredDisk Newer, StoredDisk Older) : IAsyncDisposable
{
    /// <summary>Opens both for a caller, who must be allowed to read both.</summary>
    /// <exception cref="RegistryException">As of <see cref="StoredDisks.OpenAsync"/>; BadRequest: no image to compare
    /// with was named.</exception>
    public static async ValueTask<DiskPair> OpenAsync(
        StoredDisks disks, Caller caller, string newer, string? older, CancellationToken cancellationToken)
    {
        if (string.IsNullOrEmpty(older))
        {
            throw new RegistryException(ErrorCode.BadRequest, "The image to compare with must be named: since.");
        }

        var disk = await disks.OpenAsync(caller, newer, cancellationToken);
        try
        {
            return new DiskPair(disk, await disks.OpenAsync(caller, older, cancellationToken));
        }
        catch
        {
            await disk.DisposeAsync();
            throw;
        }
    }

    /// <summary>Finds in which blocks the newer disk differs.</summary>
    /// <param name="read">How the two may be read together.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    public IAsyncEnumerable<ChangedRun> FindAsync(DiskReadOptions read, CancellationToken cancellationToken) =>
        DiskChanges.FindAsync(
            Newer.Disk, Older.Disk, read with { MaxRangeBytes = read.MaxRangeBytes / 2 }, cancellationToken);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await Newer.DisposeAsync();
        await Older.DisposeAsync();
    }
}
