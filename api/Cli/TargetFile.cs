using Registry.Engine.Bytes;

namespace Registry.Api.Cli;

/// <summary>A file that a verb makes: it has its name only when it is whole, and until then the file that it replaces
/// stays as it was. A block device is written in place.</summary>
internal sealed class TargetFile : IAsyncDisposable
{
    private const int RandomBytes = 6;

    private readonly TargetPlace _place;
    private readonly string? _partial;
    private bool _isPublished;

    private TargetFile(TargetPlace place, string? partial, FileBytes bytes) =>
        (_place, _partial, Bytes) = (place, partial, bytes);

    /// <summary>Where to write.</summary>
    public FileBytes Bytes { get; }

    /// <summary>Whether the target is a new, empty file; otherwise it is a block device.</summary>
    public bool IsNew => _partial is not null;

    /// <summary>Opens the target.</summary>
    /// <param name="path">A file to make or replace, or a block device.</param>
    /// <param name="rules">What may be done.</param>
    /// <param name="cancellationToken">Cancels the waiting for a device.</param>
    /// <exception cref="CommandException">There is a file that may not be overwritten, or something that is neither a
    /// regular file nor a block device.</exception>
    /// <exception cref="IOException">It cannot be written, or another run has it open.</exception>
    public static async Task<TargetFile> OpenAsync(
        string path, TargetRules rules, CancellationToken cancellationToken)
    {
        var place = await TargetPlace.OpenAsync(path, rules);
        try
        {
            if (place.IsDevice)
            {
                return new TargetFile(place, null, await place.OpenDeviceAsync(cancellationToken));
            }

            var partial = $".{place.Name}.{RandomName()}.part";
            var file = new TargetFile(place, partial, place.Directory.CreateNew(partial));
            try
            {
                place.Dress(file.Bytes);
                return file;
            }
            catch
            {
                await file.DisposeAsync();
                throw;
            }
        }
        catch
        {
            await place.DisposeAsync();
            throw;
        }
    }

    /// <summary>Gives the finished file its name.</summary>
    /// <param name="isDurable">Whether the name survives a power cut from now on.</param>
    /// <exception cref="CommandException">Another program has made a file of that name meanwhile.</exception>
    public void Publish(bool isDurable)
    {
        if (_partial is not null)
        {
            _place.Publish(_partial, isDurable);
            _isPublished = true;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_partial is not null && !_isPublished)
        {
            _place.Directory.Remove(_partial);
        }

        await Bytes.DisposeAsync();
        await _place.DisposeAsync();
    }

    private static string RandomName()
    {
        Span<byte> bytes = stackalloc byte[RandomBytes];
        System.Security.Cryptography.RandomNumberGenerator.Fill(bytes);
        return Convert.ToHexStringLower(bytes);
    }
}
