using System.Text;

namespace Registry.Api.Nbd;

/// <content>The client looks at exports, and chooses one.</content>
internal sealed partial class NbdHandshake
{
    // This option cannot be refused: what cannot be exported ends the connection.
    private async ValueTask<NbdChoice> ExportNameAsync(byte[] data, CancellationToken cancellationToken)
    {
        if (data.Length > NbdExportName.MaxBytes)
        {
            throw new NbdViolationException("an export name is too long");
        }

        var name = Encoding.UTF8.GetString(data);
        NbdChoice? choice = null;
        try
        {
            choice = await ChooseAsync(name, cancellationToken);
            await _answers.ExportAsync(
                choice.Export.Size, NbdExport.Abilities(choice.Export.IsWritable, _isStructured), _withZeroes,
                cancellationToken);
            return choice;
        }
        catch (Exception e)
        {
            await LeaveAsync(choice);
            if (NbdErrors.IsOfRequest(e))
            {
                throw new NbdViolationException($"an export was asked for that there is not: {e.Message}");
            }

            throw;
        }
    }

    private async ValueTask<NbdChoice?> InfoAsync(NbdOption option, byte[] data, CancellationToken cancellationToken)
    {
        if (NbdQuestion.TryParse(data) is not { } question)
        {
            await RefuseAsync(option, NbdAnswer.Invalid, "The request is malformed.", cancellationToken);
            return null;
        }

        NbdChoice? choice = null;
        try
        {
            var (permit, disk) = await LookAsync(question.ExportName, cancellationToken);
            choice = option == NbdOption.Go ? await ChooseAsync(question.ExportName, cancellationToken) : null;
            _answers.Info(
                option, disk, NbdExport.Abilities(permit.IsOverlay, _isStructured), NbdExport.PreferredBlock(disk),
                question);
            await _answers.EndAsync(option, NbdAnswer.Ack, "", cancellationToken);
            return choice;
        }
        catch (Exception e)
        {
            await LeaveAsync(choice);
            if (!NbdErrors.IsOfRequest(e))
            {
                throw;
            }

            await RefuseAsync(option, e, cancellationToken);
            return null;
        }
    }

    /// <summary>The disk of an export; the one looked at last is kept open, for clients ask several times.</summary>
    private async ValueTask<(NbdPermit Permit, NbdDisk Disk)> LookAsync(
        string name, CancellationToken cancellationToken)
    {
        var permit = door.Admit(name); // each time anew: a ticket runs out
        if (_looked is { } looked && looked.Permit == permit)
        {
            return looked;
        }

        var disk = await door.OpenAsync(permit, cancellationToken);
        await DisposeAsync();
        _looked = (permit, disk);
        return (permit, disk);
    }

    private async ValueTask<NbdChoice> ChooseAsync(string name, CancellationToken cancellationToken)
    {
        var (permit, disk) = await LookAsync(name, cancellationToken);
        var slot = await door.EnterAsync(permit, cancellationToken);
        try
        {
            var overlay = permit.IsOverlay
                ? NbdOverlay.Create(
                    settings.OverlayDirectory, disk.Disk.VirtualSize, settings.OverlayMaxBytes, door.RoomFor(permit))
                : null;
            _looked = null; // the export's now
            return new NbdChoice(permit, new NbdExport(disk, overlay, cache), _isStructured, _contextOf == name)
            {
                Slot = slot,
            };
        }
        catch
        {
            slot.Dispose();
            throw;
        }
    }

    // Who is not told of its export any more does not have it.
    private static ValueTask LeaveAsync(NbdChoice? choice) => choice?.DisposeAsync() ?? ValueTask.CompletedTask;
}
