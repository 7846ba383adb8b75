using System.CommandLine;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2.Writing;
using Registry.Engine.Raw;

namespace Registry.Api.Cli;

/// <summary>A local image file, open to be changed in place.</summary>
internal sealed class DiskEdit : IAsyncDisposable
{
    private readonly FileBytes _bytes;
    private readonly UndoGate? _undo;

    private DiskEdit(FileBytes bytes, IDiskWriter disk, UndoGate? undo = null) =>
        (_bytes, Disk, _undo) = (bytes, disk, undo);

    /// <summary>The disk.</summary>
    public IDiskWriter Disk { get; }

    /// <summary>The disk as a qcow2 image.</summary>
    /// <exception cref="CommandException">It is of another format.</exception>
    public QcowDisk Qcow => Disk as QcowDisk
        ?? throw new CommandException($"'{_bytes.Path}' is not a qcow2 image, which is needed for this.");

    /// <summary>The file.</summary>
    public FileBytes Bytes => _bytes;

    /// <summary>Opens a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="format">Its format; null to find out.</param>
    /// <param name="passphraseFile">File with the passphrase of encrypted disks; null when there is none.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="isShared">Whether this process opens it too, as another image's backing file.</param>
    /// <param name="claimed">A file below the image that this process has claimed already (<see cref="FileBytes.Identity"/>);
    /// null for none.</param>
    /// <exception cref="ImageFormatException">It cannot be changed as it is.</exception>
    /// <exception cref="FileInUseException">Another process uses it.</exception>
    public static async Task<DiskEdit> OpenAsync(
        string path, string? format, string? passphraseFile, CancellationToken cancellationToken, bool isShared = false,
        string? claimed = null)
    {
        var known = DiskFile.FormatOf(format);
        var bytes = FileBytes.OpenWrite(path, isShared);
        try
        {
            bytes.Claim(ImageUse.Write);
            var kind = known ?? await DiskImages.DetectAsync(bytes, cancellationToken);
            return new DiskEdit(
                bytes, await OpenDiskAsync(path, bytes, kind, Options(path, passphraseFile, claimed), cancellationToken));
        }
        catch
        {
            await bytes.DisposeAsync();
            throw;
        }
    }

    /// <summary>Opens a file for a change that is made whole or not at all.</summary>
    /// <param name="path">The file.</param>
    /// <param name="format">Its format; null to find out.</param>
    /// <param name="passphraseFile">File with the passphrase of encrypted disks; null when there is none.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="ImageFormatException">It cannot be changed as it is.</exception>
    /// <exception cref="FileInUseException">Another process uses it.</exception>
    public static async Task<DiskEdit> OpenUndoableAsync(
        string path, string? format, string? passphraseFile, CancellationToken cancellationToken)
    {
        var known = DiskFile.FormatOf(format);
        var bytes = FileBytes.OpenWrite(path);
        var options = Options(path, passphraseFile);
        var undo = new UndoGate(options.Gate, bytes);
        try
        {
            bytes.Claim(ImageUse.Write);
            var kind = known ?? await DiskImages.DetectAsync(bytes, cancellationToken);
            return new DiskEdit(
                bytes, await OpenDiskAsync(path, undo.Image, kind, options with { Gate = undo }, cancellationToken), undo);
        }
        catch
        {
            await undo.DisposeAsync();
            await bytes.DisposeAsync();
            throw;
        }
    }

    /// <summary>Reserves disk space for the content to come, at the end of the file that holds the content.</summary>
    /// <param name="imageBytes">Bytes where the image holds it.</param>
    /// <param name="dataBytes">Bytes where an external data file holds it.</param>
    /// <exception cref="IOException">There is not so much space; none is kept.</exception>
    public void ReserveAtEnd(long imageBytes, long dataBytes)
    {
        if (_undo?.Data is { } data)
        {
            data.ReserveAtEnd(dataBytes);
        }
        else
        {
            _bytes.ReserveAtEnd(imageBytes);
        }
    }

    /// <summary>Keeps nothing for an undoing: for changes that free what they overwrite.</summary>
    public void Forget() => _undo?.Forget();

    /// <summary>Carries out a change and closes the image. Where that fails, size and content are what they
    /// were.</summary>
    /// <param name="change">The change.</param>
    /// <exception cref="CommandException">It failed, and could not be undone either.</exception>
    public async Task ChangeAsync(Func<Task> change)
    {
        try
        {
            await change();
            if (Disk is QcowDisk qcow)
            {
                await qcow.DisposeAsync();
            }
            else
            {
                await Disk.FlushAsync(CancellationToken.None);
            }
        }
        catch (Exception failure)
        {
            try
            {
                await _undo!.UndoAsync();
            }
            catch (IOException e)
            {
                throw new CommandException(
                    $"{failure.Message}; '{_bytes.Path}' could not be made what it was: {e.Message}");
            }

            throw;
        }
    }

    /// <summary>How a file is opened to be changed: what it names may be read, and its data file written.</summary>
    public static DiskOpenOptions Options(string path, string? passphraseFile, string? claimed = null) =>
        DiskFile.Options(path, passphraseFile, isShared: false) with
        {
            Gate = new LocalFilesGate(path) { MayWriteData = true, Claimed = claimed },
        };

    /// <summary>Opens a qcow2 image to change what its header says; what it names need not be there.</summary>
    /// <param name="path">The file.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public static async Task<DiskEdit> OpenHeaderAsync(string path, CancellationToken cancellationToken)
    {
        var bytes = FileBytes.OpenWrite(path);
        try
        {
            bytes.Claim(ImageUse.Write);
            var options = Options(path, null) with { MetadataOnly = true };
            return new DiskEdit(bytes, await QcowDisk.OpenAsync(bytes, options, cancellationToken));
        }
        catch
        {
            await bytes.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (Disk is QcowDisk qcow)
        {
            await qcow.DisposeAsync();
        }

        if (_undo is not null)
        {
            await _undo.DisposeAsync();
        }

        await _bytes.DisposeAsync();
    }

    private static async Task<IDiskWriter> OpenDiskAsync(
        string path, IByteFile bytes, DiskFormat kind, DiskOpenOptions options, CancellationToken cancellationToken) =>
        kind switch
        {
            DiskFormat.Qcow2 => await QcowDisk.OpenAsync(bytes, options, cancellationToken),
            DiskFormat.Raw => new RawDisk(bytes),
            _ => throw new CommandException($"'{path}' is of format {DiskFile.NameOf(kind)}, which is not written."),
        };
}
