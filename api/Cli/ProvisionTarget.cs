using Registry.Engine.Bytes;
using Registry.Engine.Convert;

namespace Registry.Api.Cli;

/// <summary>The disk that a provision makes: a file under a name of its own until it is whole, or a block device. An
/// interrupted run leaves it marked, and the next one goes on with it.</summary>
internal sealed class ProvisionTarget : IAsyncDisposable
{
    private readonly string _path;
    private readonly string? _partial;
    private readonly DirectFile _file;
    private ProvisionMark _mark;
    private bool _isFinished;

    private ProvisionTarget(string path, string? partial, DirectFile file, ProvisionMark mark)
    {
        (_path, _partial, _file, _mark) = (path, partial, file, mark);
        Bytes = new UnfinishedTarget(file, isZero: partial is not null);
    }

    /// <summary>Where to write.</summary>
    public UnfinishedTarget Bytes { get; }

    /// <summary>First guest byte that is missing; 0 for a new disk.</summary>
    public long Offset => _mark.Offset;

    /// <summary>Opens a target, as an interrupted run left it where that was to become the same.</summary>
    /// <param name="path">A file to make or replace, or a block device.</param>
    /// <param name="wanted">What it is to become.</param>
    /// <param name="isForced">Whether to begin anew, whatever another run left.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="CommandException">The device was left by a run of something else.</exception>
    /// <exception cref="IOException">It cannot be written, or another run is at it.</exception>
    public static async Task<ProvisionTarget> OpenAsync(
        string path, ProvisionMark wanted, bool isForced, CancellationToken cancellationToken)
    {
        var full = TargetFile.Resolve(path);
        var partial = TargetFile.IsDevice(full)
            ? null
            : Path.Combine(Path.GetDirectoryName(full)!, $".{Path.GetFileName(full)}.part");
        var file = new DirectFile(partial is null || File.Exists(partial)
            ? FileBytes.OpenWrite(partial ?? full)
            : FileBytes.CreateNew(partial));
        try
        {
            var sector = await UnfinishedTarget.ReadMarkAsync(file, cancellationToken);
            var left = ProvisionMark.Parse(sector.Span);
            if (!isForced && left is not null && left with { Offset = 0 } == wanted)
            {
                return new ProvisionTarget(full, partial, file, left);
            }

            if (!isForced && left is not null && partial is null)
            {
                throw new CommandException(
                    $"'{path}' is the unfinished disk of another run (image {left.Image}, {left.Format}); " +
                    "--force begins anew.");
            }

            if (partial is not null)
            {
                await file.SetLengthAsync(0, cancellationToken);
            }

            return new ProvisionTarget(full, partial, file, wanted);
        }
        catch
        {
            await file.DisposeAsync();
            throw;
        }
    }

    /// <summary>Notes that everything before a guest byte is there.</summary>
    /// <param name="guestOffset">First guest byte that is missing.</param>
    /// <param name="end">The same as an offset in the target.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task CheckpointAsync(long guestOffset, long end, CancellationToken cancellationToken)
    {
        var mark = _mark with { Offset = guestOffset };
        await Bytes.SettleAsync(end, mark.ToBytes(), cancellationToken);
        _mark = mark;
    }

    /// <summary>Ends the disk and gives it its name.</summary>
    /// <param name="length">Bytes of the target.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task FinishAsync(long length, CancellationToken cancellationToken)
    {
        await Bytes.FinishAsync(length, cancellationToken);
        _isFinished = true;
        if (_partial is not null)
        {
            UnfinishedTarget.Publish(_partial, _path);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        // A file of which nothing is noted is worth nothing to the next run. It is removed while it is still locked.
        if (!_isFinished && _partial is not null && Offset == 0)
        {
            File.Delete(_partial);
        }

        await _file.DisposeAsync();
    }
}
