using System.Runtime.CompilerServices;
using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Api.Provisioning;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Nbd;

/// <summary>Finds the images that clients name, and opens each disk once, however many connections read it.</summary>
internal sealed class NbdDisks(StoredDisks disks, ImageCommands images, NbdCache cache)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, NbdDisk> _open = new(StringComparer.Ordinal);

    /// <summary>The images that a caller can be offered: the newest thousand that have bytes.</summary>
    public IAsyncEnumerable<Image> ListAsync(Caller caller, CancellationToken cancellationToken) => FindAsync(
        caller, new ImageListRequest { Statuses = ["active"], Limit = ImageListRequest.LimitMax }, cancellationToken);

    /// <summary>Opens the disk of an image that the caller may read; it gets a user more.</summary>
    /// <param name="caller">Who asks, judged anew each time.</param>
    /// <param name="id">The image.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">NotFound, Forbidden, Conflict, as of
    /// <see cref="StoredDisks"/>.</exception>
    public async ValueTask<NbdDisk> OpenAsync(Caller caller, string id, CancellationToken cancellationToken) =>
        await ShareAsync(await disks.OpenAsync(caller, id, cancellationToken));

    /// <summary>Opens the disk of an image that the caller may read; it gets a user more.</summary>
    /// <param name="caller">Who asks, judged anew each time.</param>
    /// <param name="idOrName">The image's id, or a name that it alone has.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">NotFound, Forbidden, Conflict, as of
    /// <see cref="StoredDisks"/>.</exception>
    public async ValueTask<NbdDisk> OpenNamedAsync(
        Caller caller, string idOrName, CancellationToken cancellationToken) =>
        await ShareAsync(await OpenStoredAsync(caller, idOrName, cancellationToken));

    private async ValueTask<NbdDisk> ShareAsync(StoredDisk stored)
    {
        NbdDisk? shared;
        lock (_lock)
        {
            if (!_open.TryGetValue(stored.Image.Id, out shared) || !shared.TryAddUser())
            {
                return _open[stored.Image.Id] = new NbdDisk(stored, Closed);
            }
        }

        await stored.DisposeAsync();
        return shared;
    }

    private void Closed(NbdDisk disk)
    {
        cache.Forget(disk);
        lock (_lock)
        {
            if (_open.TryGetValue(disk.ImageId, out var open) && open == disk)
            {
                _open.Remove(disk.ImageId);
            }
        }
    }

    private async IAsyncEnumerable<Image> FindAsync(
        Caller caller, ImageListRequest request, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var page = await images.ListAsync(caller, request, cancellationToken);
        await foreach (var image in images.CompleteAsync(caller, page, cancellationToken))
        {
            yield return image;
        }
    }

    private async ValueTask<StoredDisk> OpenStoredAsync(
        Caller caller, string idOrName, CancellationToken cancellationToken)
    {
        try
        {
            return await disks.OpenAsync(caller, idOrName, cancellationToken);
        }
        catch (RegistryException e) when (e.Code == ErrorCode.NotFound && idOrName.Length > 0) // none is the default
        {
            var named = await FindAsync(
                caller, new ImageListRequest { Names = [idOrName], Limit = 2 }, cancellationToken)
                .ToListAsync(cancellationToken);
            return named.Count switch
            {
                1 => await disks.OpenAsync(caller, named[0].Id, cancellationToken),
                0 => throw new RegistryException(
                    ErrorCode.NotFound, $"No image has the id or the name '{ImageRules.Shown(idOrName)}'."),
                _ => throw new RegistryException(
                    ErrorCode.NotFound, $"Several images are named '{ImageRules.Shown(idOrName)}': say the id."),
            };
        }
    }
}
