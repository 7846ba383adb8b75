using System.Buffers;
using System.Text;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

public sealed partial class QcowDisk
{
    private const int CopyBytes = 1 << 20;

    /// <summary>Whether what this image does not say will come from another file than now.</summary>
    private bool isRebasing;

    /// <summary>Names another backing file without looking at it (<c>qemu-img rebase -u</c>): right only when it holds
    /// the same.</summary>
    /// <param name="name">The name to store; null for no backing file.</param>
    /// <param name="format">Its format to store; null to store none.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="DiskOperationException">The name does not fit, or the data file must be a disk by
    /// itself.</exception>
    public ValueTask SetBackingAsync(string? name, string? format, CancellationToken cancellationToken) =>
        ExclusiveAsync(() => StoreBackingAsync(name, format, cancellationToken), cancellationToken);

    /// <summary>Moves the image to another backing file: what differs there is copied, so that the disk stays the
    /// same.</summary>
    /// <param name="target">The new backing file's disk, which stays the caller's; null to stand alone.</param>
    /// <param name="name">Its name to store.</param>
    /// <param name="format">Its format to store.</param>
    /// <param name="progress">Told the guest bytes done; null when nobody looks.</param>
    /// <param name="cancellationToken">Cancels; the image still has its old backing file then.</param>
    /// <exception cref="DiskOperationException">The name does not fit.</exception>
    public ValueTask RebaseAsync(
        DiskImage? target, string? name, string? format, IProgress<long>? progress,
        CancellationToken cancellationToken) =>
        ExclusiveAsync(
            async () =>
            {
                CheckBacking(name, format);
                isRebasing = target is not null;
                await CopyDifferencesAsync(target, progress, cancellationToken).ConfigureAwait(false);
                await StoreBackingAsync(name, format, cancellationToken).ConfigureAwait(false);
                backing = target;
                isRebasing = false;
            },
            cancellationToken);

    /// <summary>Writes what this image adds to its backing file into that file's disk (<c>qemu-img
    /// commit</c>).</summary>
    /// <param name="target">The backing file's disk, made as large as this one where it is smaller.</param>
    /// <param name="empties">Whether this image is emptied afterwards.</param>
    /// <param name="progress">Told the guest bytes done; null when nobody looks.</param>
    /// <param name="cancellationToken">Cancels; this image still holds everything then.</param>
    public ValueTask CommitToAsync(
        IDiskWriter target, bool empties, IProgress<long>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(target);
        return ExclusiveAsync(
            async () =>
            {
                if (target.VirtualSize < VirtualSize)
                {
                    await target.ResizeAsync(VirtualSize, cancellationToken).ConfigureAwait(false);
                }

                await CopyOwnAsync(target, progress, cancellationToken).ConfigureAwait(false);
                await target.FlushAsync(cancellationToken).ConfigureAwait(false);
                if (empties)
                {
                    await ForClustersAsync(
                        0,
                        (VirtualSize + ClusterSize - 1) & -ClusterSize,
                        entry => entry.IsAbsent && entry.Host == 0 ? null : ClusterEntry.Absent(isExtended),
                        cancellationToken).ConfigureAwait(false);
                    await CommitAsync(cancellationToken).ConfigureAwait(false);
                }
            },
            cancellationToken);
    }

    private async ValueTask StoreBackingAsync(string? name, string? format, CancellationToken cancellationToken)
    {
        var (oldName, oldFormat) = NameBacking(name, format);
        try
        {
            await WriteAreaAsync(header, cancellationToken).ConfigureAwait(false);
        }
        catch (DiskOperationException)
        {
            (area.BackingName, area[HeaderArea.BackingFormat]) = (oldName, oldFormat);
            throw;
        }
    }

    /// <summary>Refuses a backing file that cannot be stored, before anything is copied for it.</summary>
    private void CheckBacking(string? name, string? format)
    {
        var (oldName, oldFormat) = NameBacking(name, format);
        try
        {
            area.WriteTo(header, new byte[ClusterSize]);
        }
        finally
        {
            (area.BackingName, area[HeaderArea.BackingFormat]) = (oldName, oldFormat);
        }
    }

    private (string? Name, byte[]? Format) NameBacking(string? name, string? format)
    {
        if (name is not null && header.Autoclear.HasFlag(QcowAutoclear.RawDataFile))
        {
            throw new DiskOperationException("A raw external data file cannot have a backing file.");
        }

        var old = (area.BackingName, area[HeaderArea.BackingFormat]);
        area.BackingName = name;
        area[HeaderArea.BackingFormat] = name is null || format is null ? null : Encoding.UTF8.GetBytes(format);
        return old;
    }

    private async ValueTask CopyOwnAsync(
        IDiskWriter target, IProgress<long>? progress, CancellationToken cancellationToken)
    {
        var rented = ArrayPool<byte>.Shared.Rent(CopyBytes);
        try
        {
            for (var offset = 0L; offset < VirtualSize; progress?.Report(offset))
            {
                var (kind, length) = await RunAsync(offset, VirtualSize - offset, cancellationToken)
                    .ConfigureAwait(false);
                if (kind == ExtentKind.Zero)
                {
                    await target.ZeroAsync(offset, length, true, cancellationToken).ConfigureAwait(false);
                }
                else if (kind == ExtentKind.Data)
                {
                    length = Math.Min(length, CopyBytes);
                    var buffer = rented.AsMemory(0, (int)length);
                    await ReadGuestAsync(offset, buffer, cancellationToken).ConfigureAwait(false);
                    await target.WriteAsync(offset, buffer, cancellationToken).ConfigureAwait(false);
                }

                offset += length;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private async ValueTask CopyDifferencesAsync(
        DiskImage? target, IProgress<long>? progress, CancellationToken cancellationToken)
    {
        var rented = ArrayPool<byte>.Shared.Rent(2 * CopyBytes);
        try
        {
            for (var offset = 0L; offset < VirtualSize; progress?.Report(offset))
            {
                var (kind, length) = await RunAsync(offset, VirtualSize - offset, cancellationToken)
                    .ConfigureAwait(false);
                if (kind == ExtentKind.Hole)
                {
                    length = Math.Min(length, CopyBytes);
                    var old = rented.AsMemory(0, (int)length);
                    var now = rented.AsMemory(CopyBytes, (int)length);
                    await ReadBackingAsync(offset, old, cancellationToken).ConfigureAwait(false);
                    await ReadDiskAsync(target, offset, now, cancellationToken).ConfigureAwait(false);
                    await WriteDifferencesAsync(offset, old, now, cancellationToken).ConfigureAwait(false);
                }

                offset += length;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    /// <summary>Writes the old content of each subcluster that would read differently.</summary>
    private async ValueTask WriteDifferencesAsync(
        long offset, ReadOnlyMemory<byte> old, ReadOnlyMemory<byte> now, CancellationToken cancellationToken)
    {
        for (var at = 0; at < old.Length;)
        {
            var end = at;
            while (end < old.Length && NextUnit(end) is var next && !Same(end, next))
            {
                end = next;
            }

            if (end > at)
            {
                var piece = old[at..end];
                await (piece.Span.ContainsAnyExcept((byte)0)
                    ? WriteGuestAsync(offset + at, piece, cancellationToken).AsTask()
                    : ZeroGuestAsync(offset + at, piece.Length, true, cancellationToken).AsTask())
                    .ConfigureAwait(false);
            }

            at = end < old.Length ? NextUnit(end) : end;
        }

        int NextUnit(int from) =>
            (int)Math.Min(old.Length, ((offset + from + UnitSize) & -(long)UnitSize) - offset);

        bool Same(int from, int to) => old.Span[from..to].SequenceEqual(now.Span[from..to]);
    }

    private static async ValueTask ReadDiskAsync(
        DiskImage? disk, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var there = disk is null ? 0 : (int)Math.Clamp(disk.VirtualSize - offset, 0, buffer.Length);
        if (there > 0)
        {
            await disk!.ReadAsync(offset, buffer[..there], cancellationToken).ConfigureAwait(false);
        }

        buffer.Span[there..].Clear();
    }
}
