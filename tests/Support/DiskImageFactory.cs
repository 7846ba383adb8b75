using System.Globalization;

namespace Registry.Support;

/// <summary>A disk to make: an ext4 file system filled from this machine's own files.</summary>
/// <param name="Name">Part of the file names it is kept under.</param>
/// <param name="VirtualBytes">Size of the disk.</param>
/// <param name="ContentBytes">Bytes of files put on it, at least.</param>
public sealed record DiskRecipe(string Name, long VirtualBytes, long ContentBytes)
{
    /// <summary>10 GiB with more than 300 MiB of files.</summary>
    public static DiskRecipe Full { get; } = new("full", 10L << 30, 320L << 20);

    /// <summary>384 MiB with 24 MiB of files: nearly as sparse, and quick to make and to hash.</summary>
    public static DiskRecipe Small { get; } = new("small-384m", 384L << 20, 24L << 20);

    /// <summary><see cref="Full"/> in a full run, else <see cref="Small"/>.</summary>
    public static DiskRecipe OfThisRun => TestRun.IsFull ? Full : Small;
}

/// <summary>How a disk is kept in a file.</summary>
public enum DiskImageForm
{
    /// <summary>The disk's bytes, sparse.</summary>
    Raw,

    /// <summary>qcow2 version 2, not compressed.</summary>
    Qcow2Version2,

    /// <summary>qcow2 version 3, not compressed.</summary>
    Qcow2Version3,

    /// <summary>qcow2 version 3, every cluster compressed with deflate.</summary>
    Qcow2Deflate,

    /// <summary>qcow2 version 3, every cluster compressed with zstd.</summary>
    Qcow2Zstd,
}

/// <summary>Makes real disk images, once for all tests of a checkout: they are kept in
/// artifacts/tests/images.</summary>
public static class DiskImageFactory
{
    private static readonly SemaphoreSlim OneAtATime = new(1);
    private static readonly string[] Sources = ["/usr/share", "/usr/lib"];

    /// <summary>The path of a disk in one form; made when it is not there yet. Not to be written to.</summary>
    /// <param name="recipe">The disk.</param>
    /// <param name="form">Its form.</param>
    /// <param name="cancellationToken">Cancels the making.</param>
    public static async Task<string> GetAsync(
        DiskRecipe recipe, DiskImageForm form, CancellationToken cancellationToken)
    {
        await OneAtATime.WaitAsync(cancellationToken);
        try
        {
            Directory.CreateDirectory(RepositoryTree.File("artifacts", "tests", "images"));
            return await GetOrMakeAsync(recipe, form, cancellationToken);
        }
        finally
        {
            OneAtATime.Release();
        }
    }

    private static async Task<string> GetOrMakeAsync(
        DiskRecipe recipe, DiskImageForm form, CancellationToken cancellationToken)
    {
        var path = RepositoryTree.File("artifacts", "tests", "images", $"{recipe.Name}-{form}".ToLowerInvariant());
        if (File.Exists(path))
            return path;

        // Renamed when whole: a run that is killed leaves no half image for the next one.
        var unfinished = $"{path}.{Environment.ProcessId}";
        if (form == DiskImageForm.Raw)
            await MakeFileSystemAsync(recipe, unfinished, cancellationToken);
        else
        {
            var raw = await GetOrMakeAsync(recipe, DiskImageForm.Raw, cancellationToken);
            await ConvertAsync(raw, form, unfinished, cancellationToken);
        }

        File.Move(unfinished, path, overwrite: true);
        return path;
    }

    private static async Task MakeFileSystemAsync(DiskRecipe recipe, string path, CancellationToken cancellationToken)
    {
        var mke2fs = ExternalTool.Require("mke2fs");
        using var tree = new TempDirectory();
        CopyFiles(tree.Path, recipe.ContentBytes);
        await mke2fs.OutputAsync(
            cancellationToken,
            "-q", "-F", "-t", "ext4", "-d", tree.Path, path,
            (recipe.VirtualBytes >> 10).ToString(CultureInfo.InvariantCulture) + "k");
    }

    private static async Task ConvertAsync(
        string raw, DiskImageForm form, string path, CancellationToken cancellationToken)
    {
        string[] options = form switch
        {
            DiskImageForm.Qcow2Version2 => ["-o", "compat=0.10"],
            DiskImageForm.Qcow2Version3 => ["-o", "compat=1.1"],
            DiskImageForm.Qcow2Deflate => ["-c", "-o", "compat=1.1,compression_type=zlib"],
            DiskImageForm.Qcow2Zstd => ["-c", "-o", "compat=1.1,compression_type=zstd"],
            _ => throw new ArgumentOutOfRangeException(nameof(form), form, "Not a form to convert to."),
        };
        await ExternalTool.Require("qemu-img").OutputAsync(
            cancellationToken, ["convert", "-f", "raw", "-O", "qcow2", .. options, raw, path]);
    }

    // Copies readable files, tree and all, until there are enough bytes.
    private static void CopyFiles(string target, long enoughBytes)
    {
        var options = new EnumerationOptions
        {
            RecurseSubdirectories = true,
            IgnoreInaccessible = true,
            AttributesToSkip = FileAttributes.ReparsePoint | FileAttributes.Device,
        };
        var copiedBytes = 0L;
        foreach (var file in Sources.SelectMany(source => new DirectoryInfo(source).EnumerateFiles("*", options)))
        {
            if (copiedBytes >= enoughBytes)
                return;

            var copy = Path.Combine(target, file.FullName.TrimStart('/'));
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            file.CopyTo(copy);
            copiedBytes += file.Length;
        }

        throw new InvalidOperationException($"This machine has no {enoughBytes} bytes of files to fill a disk with.");
    }
}
