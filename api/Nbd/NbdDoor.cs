using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Api.Memory;
using Registry.Api.Usage;
using Registry.Storage.Domain;

namespace Registry.Api.Nbd;

/// <summary>Who may open what. A client of this protocol cannot say who it is: where all callers are one it names the
/// image, elsewhere it must have a ticket.</summary>
/// <param name="disks">The images.</param>
/// <param name="tickets">The tickets.</param>
/// <param name="keeper">Makes new images of overlays.</param>
/// <param name="memory">What connections take theirs from.</param>
/// <param name="rooms">Room of overlays.</param>
/// <param name="options">How many exports one project may have open.</param>
/// <param name="everybody">Who all callers are; null where they differ.</param>
internal sealed class NbdDoor(
    NbdDisks disks, NbdTickets tickets, NbdKeeper keeper, ProcessMemory memory, NbdOverlayRooms rooms,
    IOptions<RegistryOptions> options, ImplicitCaller? everybody = null)
{
    private readonly ProjectShares _exports = new(
        options.Value.Nbd.ConnectionsMax, options.Value.NbdConnectionsPerProject);

    /// <summary>What an export name is for, at this moment.</summary>
    /// <exception cref="RegistryException">NotFound: a ticket that is not good. -or- Forbidden: no ticket. -or- As of
    /// <see cref="NbdKeeper.Require"/>.</exception>
    public NbdPermit Admit(string name)
    {
        ImageRules.RequireNoNul("export name", name);
        if (NbdTickets.IsOne(name))
        {
            return tickets.Find(name);
        }

        var caller = Everybody;
        var wanted = NbdExportName.Parse(name);
        if (wanted.KeepAs is not null)
        {
            keeper.Require(caller, wanted.KeepAs);
        }

        return new NbdPermit(caller, wanted.Image, IsById: false, wanted.IsOverlay) { KeepAs = wanted.KeepAs };
    }

    /// <summary>Opens a disk; it gets a user more.</summary>
    /// <exception cref="RegistryException">As of <see cref="NbdDisks.OpenAsync"/>.</exception>
    public ValueTask<NbdDisk> OpenAsync(NbdPermit permit, CancellationToken cancellationToken) => permit.IsById
        ? disks.OpenAsync(permit.Caller, permit.Image, cancellationToken)
        : disks.OpenNamedAsync(permit.Caller, permit.Image, cancellationToken);

    /// <summary>The room of an overlay that the permit is for, empty at first.</summary>
    public NbdOverlayRoom RoomFor(NbdPermit permit) => rooms.For(permit.Caller.ProjectId);

    /// <summary>Reserves one of the project's export slots and the memory of a connection; dispose the result to release
    /// both.</summary>
    /// <exception cref="RegistryException">Busy: the project has all that one may have, or no memory became free in
    /// time.</exception>
    public async ValueTask<NbdSlot> EnterAsync(NbdPermit permit, CancellationToken cancellationToken)
    {
        var project = permit.Caller.ProjectId;
        var counted = _exports.TryTake(project) ?? throw (_exports.IsOfProject(project)
            ? new RegistryException(
                ErrorCode.Busy, $"Your project has {options.Value.NbdConnectionsPerProject} exports open; try again later.",
                "project_busy")
            : new RegistryException(
                ErrorCode.Busy, $"{options.Value.Nbd.ConnectionsMax} exports are open; try again later."));
        try
        {
            return new NbdSlot(
                counted, await memory.TakeAsync(memory.Exports, project, NbdSession.BuffersBytes, cancellationToken));
        }
        catch
        {
            counted.Dispose();
            throw;
        }
    }

    /// <summary>The images on offer.</summary>
    /// <exception cref="RegistryException">Forbidden: who asks is not known.</exception>
    public IAsyncEnumerable<Image> ListAsync(CancellationToken cancellationToken) =>
        disks.ListAsync(Everybody, cancellationToken);

    private Caller Everybody => everybody?.Caller ?? throw new RegistryException(
        ErrorCode.Forbidden, "Here an export is opened by a ticket: ask the HTTP API for one.");
}
