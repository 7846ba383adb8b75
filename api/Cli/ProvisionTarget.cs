using Registry.Engine.Bytes;
using Registry.Engine.Convert;

namespace Registry.Api.Cli;

/// <summary>The disk that a provision makes: a file under a name of its own until it is whole, or a block device. An
/// interrupted run leaves it marked, and the next one resumes it.</summary>
internal sealed class ProvisionTarget : IAsyncDisposable
{
    private readonly TargetPlace _place;
    private readonly string? _partial;
    private readonly DirectFile _file;
    private readonly Authentication _authentication;
    private readonly FileBytes _bytes;
    private ProvisionMark _mark;
    private bool _isFinished;

    private ProvisionTarget(
        TargetPlace place, string? partial, FileBytes bytes, DirectFile file, Authentication authentication,
        ProvisionMark mark)
    {
        (_place, _partial, _file, _authentication, _mark) = (place, partial, file, authentication, mark);
        (_bytes, Bytes) = (bytes, new UnfinishedTarget(file, isZero: partial is not null));
    }

    /// <summary>Where to write.</summary>
    public UnfinishedTarget Bytes { get; }

    /// <summary>First guest byte that is missing; 0 for a new disk.</summary>
    public long Offset => _mark.Offset;

    /// <summary>Whether the target is a block device.</summary>
    public bool IsDevice => _partial is null;

    /// <summary>Opens a target, as an interrupted run left it where that was to become the same.</summary>
    /// <param name="path">A file to make or replace, or a block device.</param>
    /// <param name="wanted">What it is to become.</param>
    /// <param name="rules">What may be done to a file that exists.</param>
    /// <param name="start">What is done with the work of an interrupted run.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="CommandException">The device was left by a run of something else, or there is a file that may not
    /// be overwritten.</exception>
    /// <exception cref="IOException">It cannot be written, or another run has it open.</exception>
    public static async Task<ProvisionTarget> OpenAsync(
        string path, ProvisionMark wanted, TargetRules rules, ProvisionStart start, CancellationToken cancellationToken)
    {
        var place = await TargetPlace.OpenAsync(path, rules);
        DirectFile? file = null;
        var isNew = false;
        try
        {
            var partial = place.IsDevice ? null : PartialOf(place);
            var bytes = partial is null
                ? await place.OpenDeviceAsync(cancellationToken)
                : place.Directory.OpenOwn(partial);
            isNew = bytes is null;
            bytes ??= place.Directory.CreateNew(partial!);
            file = new DirectFile(bytes);
            place.RequireDressable(bytes);
            var authentication = new Authentication(
                await ResumeKey.OfThisUserAsync(cancellationToken), bytes.Identity());
            var sector = await UnfinishedTarget.ReadMarkAsync(file, cancellationToken);
            var left = ProvisionMark.Parse(sector.Span, authentication.Key, authentication.Target);
            var mark = Choose(path, wanted, left, start, place.IsDevice);
            if (partial is not null && mark.Offset == 0)
            {
                await file.SetLengthAsync(0, cancellationToken);
            }

            return new ProvisionTarget(place, partial, bytes, file, authentication, mark);
        }
        catch
        {
            if (file is not null)
            {
                if (isNew)
                {
                    place.Directory.Remove(PartialOf(place));
                }

                await file.DisposeAsync();
            }

            await place.DisposeAsync();
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
        await Bytes.SettleAsync(
            end, mark.ToBytes(_authentication.Key, _authentication.Target), cancellationToken);
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
            _place.Dress(_bytes);
            _place.Publish(_partial, isDurable: true);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        // A file of which nothing is noted is worth nothing to the next run. It is removed while it is still locked.
        if (!_isFinished && _partial is not null && Offset == 0)
        {
            _place.Directory.Remove(_partial);
        }

        await _file.DisposeAsync();
        await _place.DisposeAsync();
    }

    private static string PartialOf(TargetPlace place) => $".{place.Name}.part";

    // What a device holds may have been changed by a guest since, so that is never believed without being asked to.
    private static ProvisionMark Choose(
        string path, ProvisionMark wanted, ProvisionMark? left, ProvisionStart start, bool isDevice)
    {
        if (left is null || start == ProvisionStart.Over)
        {
            return wanted;
        }

        if (left with { Offset = 0 } == wanted)
        {
            return isDevice && start != ProvisionStart.Resume ? wanted : left;
        }

        return isDevice
            ? throw new CommandException(
                $"'{path}' is the unfinished disk of another run (image {left.Image}, {left.Format}); "
                + "use --force to start over")
            : wanted;
    }

    private sealed record Authentication(ResumeKey Key, string Target);
}

/// <summary>What is done with the work of an interrupted run.</summary>
internal enum ProvisionStart
{
    /// <summary>A file is resumed, a block device is written from its start.</summary>
    Usual,

    /// <summary>Both are resumed (<c>--resume</c>).</summary>
    Resume,

    /// <summary>Both are written from the start, whatever is there (<c>--force</c>).</summary>
    Over,
}
