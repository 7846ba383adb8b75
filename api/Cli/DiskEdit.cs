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

    private DiskEdit(FileBytes bytes, IDiskWriter disk) => (_bytes, Disk) = (bytes, disk);

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
    /// <param name="isShared">Whether this process has it open already, as another image's backing file.</param>
    /// <exception cref="ImageFormatException">It cannot be changed as it is.</exception>
    public static async Task<DiskEdit> OpenAsync(
        string path, string? format, string? passphraseFile, CancellationToken cancellationToken, bool isShared = false)
    {
        var known = DiskFile.FormatOf(format);
        var bytes = FileBytes.OpenWrite(path, isShared);
        try
        {
            var kind = known ?? await DiskImages.DetectAsync(bytes, cancellationToken);
            return new DiskEdit(bytes, kind switch
            {
                DiskFormat.Qcow2 => await QcowDisk.OpenAsync(bytes, Options(path, passphraseFile), cancellationToken),
                DiskFormat.Raw => new RawDisk(bytes),
                _ => throw new CommandException(
                    $"'{path}' is of format {DiskFile.NameOf(kind)}, which is not written."),
            });
        }
        catch
        {
            await bytes.DisposeAsync();
            throw;
        }
    }

    /// <summary>How a file is opened to be changed: what it names may be read, and its data file written.</summary>
    public static DiskOpenOptions Options(string path, string? passphraseFile) =>
        DiskFile.Options(path, passphraseFile) with
        {
            Gate = new LocalFilesGate(path) { MayWriteData = true },
        };

    /// <summary>Opens a qcow2 image to change what its header says; what it names need not be there.</summary>
    /// <param name="path">The file.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public static async Task<DiskEdit> OpenHeaderAsync(string path, CancellationToken cancellationToken)
    {
        var bytes = FileBytes.OpenWrite(path);
        try
        {
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

        await _bytes.DisposeAsync();
    }
}
