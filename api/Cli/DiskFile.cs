using System.CommandLine;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;

namespace Registry.Api.Cli;

/// <summary>A local image file, open as the disk it holds.</summary>
internal sealed class DiskFile : IAsyncDisposable
{
    private DiskFile(FileBytes bytes, DiskImage image) => (Bytes, Image) = (bytes, image);

    /// <summary>The file.</summary>
    public FileBytes Bytes { get; }

    /// <summary>The disk.</summary>
    public DiskImage Image { get; }

    /// <summary>The option that names a format, as qemu-img has it.</summary>
    /// <remarks>It is judged where the file is opened: what comes of that is the verb's.</remarks>
    public static Option<string?> FormatOption(string name, string description) =>
        new(name) { Description = description + ": raw, qcow2, vmdk, vpc, vhdx or vdi" };

    /// <summary>The option that names the format of a file that is made.</summary>
    public static Option<string?> TargetFormatOption(string name, string description)
    {
        var option = new Option<string?>(name) { Description = description };
        option.AcceptOnlyFromAmong("raw", "qcow2");
        return option;
    }

    /// <summary>The format that one of qemu-img's names stands for; null for null.</summary>
    /// <exception cref="CommandException">It is none of them.</exception>
    public static DiskFormat? FormatOf(string? name) => name switch
    {
        null => null,
        "raw" => DiskFormat.Raw,
        "qcow2" => DiskFormat.Qcow2,
        "vmdk" => DiskFormat.Vmdk,
        "vpc" => DiskFormat.Vhd,
        "vhdx" => DiskFormat.Vhdx,
        "vdi" => DiskFormat.Vdi,
        "qed" => DiskFormat.Qed,
        "luks" => DiskFormat.Luks,
        "parallels" => DiskFormat.Ploop,
        _ => throw new CommandException($"Unknown driver '{name}'"),
    };

    /// <summary>What qemu-img calls a format.</summary>
    public static string NameOf(DiskFormat format) => format switch
    {
        DiskFormat.Vhd => "vpc",
        DiskFormat.Ploop => "parallels",
        _ => FormatNames.Of(format),
    };

    /// <summary>The option that chooses a cache mode in qemu-img: everything goes through the page cache here, so it
    /// changes nothing.</summary>
    public static Option<string?> CacheOption(string name, string file)
    {
        var option = new Option<string?>(name) { Description = $"Accepted: cache mode of {file}" };
        option.AcceptOnlyFromAmong("none", "writeback", "unsafe", "directsync", "writethrough");
        return option;
    }

    /// <summary>The option that names a file with the passphrase of encrypted disks.</summary>
    public static Option<string?> PassphraseOption() => new("--passphrase-file")
    {
        Description = "File with the passphrase of an encrypted disk; a line end at its end is not part of it",
    };

    /// <summary>The option that qemu-img has to read a disk that another process writes to.</summary>
    public static Option<bool> ShareOption() => new("-U", "--force-share")
    {
        Description = "Read the file although another process writes to it: what is read may not fit together",
    };

    /// <summary>Whether two paths lead to the same file or block device.</summary>
    public static bool AreSame(string path, string other) => Path.GetFullPath(path) == Path.GetFullPath(other)
        || (FileStatus.Of(path) is { } status && status.Identity == FileStatus.Of(other)?.Identity);

    /// <summary>Opens a file as a disk, with what it refers to.</summary>
    /// <param name="path">The file.</param>
    /// <param name="format">Its format; null to find out.</param>
    /// <param name="passphraseFile">File with the passphrase of encrypted disks; null when there is none.</param>
    /// <param name="isShared">Whether other processes may write to it.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="ImageFormatException">It is not a disk that can be read.</exception>
    /// <exception cref="CommandException">Another process writes to it.</exception>
    public static Task<DiskFile> OpenAsync(
        string path, string? format, string? passphraseFile, bool isShared, CancellationToken cancellationToken) =>
        OpenAsync(path, format, Options(path, passphraseFile, isShared), cancellationToken);

    /// <summary>How a local disk is opened.</summary>
    public static DiskOpenOptions Options(string path, string? passphraseFile, bool isShared) => DiskOpenOptions.Local(path) with
    {
        Gate = new LocalFilesGate(path) { IsShared = isShared },
        Passphrase = passphraseFile is null ? null : stop => ReadPassphraseAsync(passphraseFile, stop),
    };

    /// <summary>Opens a file as a disk.</summary>
    public static async Task<DiskFile> OpenAsync(
        string path, string? format, DiskOpenOptions options, CancellationToken cancellationToken)
    {
        var known = FormatOf(format);
        var bytes = FileBytes.OpenRead(path);
        try
        {
            var kind = known ?? await DiskImages.DetectAsync(bytes, cancellationToken);
            bytes.Claim(options.Gate is LocalFilesGate gate ? gate.UseOf(kind) : ImageUse.Read);
            return new DiskFile(bytes, await DiskImages.OpenAsync(bytes, kind, options, cancellationToken));
        }
        catch (FileInUseException e) when (options.Gate is LocalFilesGate { Claimed: null })
        {
            await bytes.DisposeAsync();
            throw new CommandException(e.Message + "; -U reads it nevertheless");
        }
        catch
        {
            await bytes.DisposeAsync();
            throw;
        }
    }

    private static async ValueTask<ReadOnlyMemory<byte>> ReadPassphraseAsync(
        string path, CancellationToken cancellationToken)
    {
        var bytes = await File.ReadAllBytesAsync(path, cancellationToken);
        return bytes is [.., (byte)'\n'] ? bytes.AsMemory(0, bytes.Length - 1) : bytes;
    }

    /// <summary>The disk's format as users write it.</summary>
    public string FormatName => NameOf(Image.Format);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await Image.DisposeAsync();
        await Bytes.DisposeAsync();
    }
}
