using Microsoft.Extensions.Logging;
using Microsoft.Win32.SafeHandles;

namespace Registry.Storage.Blobs;

/// <summary>Keeps blobs as files in a directory; layout in <see cref="BlobLayout"/>.</summary>
/// <remarks>A blob is written aside, flushed, and becomes visible by one rename, which is flushed too. Data files are
/// sparse: zeroes take no room.</remarks>
public sealed partial class DirectoryBlobStore : IBlobStore, IDisposable
{
    private const int FilesKeptOpen = 256;

    private readonly OpenFiles _files = new(FilesKeptOpen);
    private readonly string _root;
    private readonly DirectoryDisk _disk;
    private readonly ILogger<DirectoryBlobStore> _logger;

    /// <summary>Opens a store, making its directory where there is none.</summary>
    /// <param name="id">The store's id in the configuration.</param>
    /// <param name="root">Its directory, for this store alone. Must be on one file system.</param>
    /// <param name="logger">Hears of leftovers.</param>
    /// <exception cref="IOException">The directory cannot be made.</exception>
    public DirectoryBlobStore(string id, string root, ILogger<DirectoryBlobStore> logger)
        : this(id, root, logger, new DirectoryDisk())
    {
    }

    internal DirectoryBlobStore(string id, string root, ILogger<DirectoryBlobStore> logger, DirectoryDisk disk)
    {
        Id = id;
        _root = Path.GetFullPath(root);
        _logger = logger;
        _disk = disk;
        DurableDirectory.Create(Path.Combine(_root, BlobLayout.Uploads), disk.FlushDirectory);
    }

    /// <inheritdoc/>
    public string Id { get; }

    /// <summary>Bytes that are free on the store's file system for this user; null when it does not say.</summary>
    public long? FreeBytes
    {
        get
        {
            try
            {
                return new DriveInfo(_root).AvailableFreeSpace;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return null;
            }
        }
    }

    /// <inheritdoc/>
    public ValueTask<IBlobWriter> BeginAsync(BlobKey key, long? expectedLength, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        RequireNew(key);
        return ValueTask.FromResult<IBlobWriter>(new DirectoryBlobWriter(Id, _root, key, _disk, _logger));
    }

    /// <summary>Starts a blob whose data is a file that is there already: the file gets another name, in this store, and
    /// none of its bytes is moved. The old name stays, and is the caller's to remove.</summary>
    /// <param name="key">Must not exist yet.</param>
    /// <param name="file">The file, open to read; on the store's file system. Whoever else may write to it can damage
    /// the blob, which is found out when it is read.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    /// <returns>A writer for the index; all of the data must be appended too, as it was read from the file, and is not
    /// written.</returns>
    /// <exception cref="IOException">The file cannot be linked, for example because it is on another file
    /// system.</exception>
    public ValueTask<IBlobWriter> AdoptAsync(BlobKey key, SafeFileHandle file, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        RequireNew(key);
        return ValueTask.FromResult<IBlobWriter>(new DirectoryBlobWriter(Id, _root, key, _disk, _logger, file));
    }

    /// <inheritdoc/>
    public async ValueTask<int> ReadAsync(
        BlobKey key, BlobPart part, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        using var lease = _files.Rent(key, part, OpenPart) ?? throw new BlobNotFoundException(key);
        return await ReadFullyAsync(lease.Handle, offset, buffer, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask<BlobStat?> StatAsync(BlobKey key, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var directory = BlobLayout.BlobDirectory(_root, key);
        var data = new FileInfo(Path.Combine(directory, BlobLayout.FileName(BlobPart.Data)));
        var index = new FileInfo(Path.Combine(directory, BlobLayout.FileName(BlobPart.Index)));
        return ValueTask.FromResult<BlobStat?>(
            data.Exists && index.Exists ? new BlobStat(data.Length, index.Length) : null);
    }

    /// <inheritdoc/>
    /// <remarks>The blob first goes back, by one rename, to being half-written: nobody sees half of it.</remarks>
    public ValueTask DeleteAsync(BlobKey key, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var aside = BlobLayout.UploadDirectory(_root, key);
        RemoveDirectory(aside);
        try
        {
            Directory.Move(BlobLayout.BlobDirectory(_root, key), aside);
        }
        catch (DirectoryNotFoundException)
        {
            // Not there, or somebody else is removing it: what was wanted.
        }

        _files.Drop(key);
        RemoveDirectory(aside);
        RemoveIfEmpty(BlobLayout.ImageDirectory(_root, key));
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public IAsyncEnumerable<BlobEntry> ListAsync(CancellationToken cancellationToken) =>
        List(cancellationToken).ToAsyncEnumerable();

    /// <inheritdoc/>
    /// <remarks>A directory is removed only while it is empty: a writer that publishes meanwhile makes it again.</remarks>
    public ValueTask<IReadOnlyList<string>> TidyAsync(
        DateTimeOffset youngest, bool isRemoved, CancellationToken cancellationToken)
    {
        var empty = new List<string>();
        foreach (var directory in Directory.EnumerateDirectories(_root))
        {
            cancellationToken.ThrowIfCancellationRequested();
            var imageId = Path.GetFileName(directory);
            if (BlobLayout.IsCanonicalId(imageId) && IsEmpty(directory)
                && new DateTimeOffset(Directory.GetLastWriteTimeUtc(directory), TimeSpan.Zero) <= youngest)
            {
                empty.Add(imageId);
            }
        }

        foreach (var imageId in isRemoved ? empty : [])
        {
            RemoveIfEmpty(Path.Combine(_root, imageId));
        }

        return ValueTask.FromResult<IReadOnlyList<string>>(empty);
    }

    /// <inheritdoc/>
    public void Dispose() => _files.Dispose();

    /// <summary>Reads until the buffer is full or the file ends.</summary>
    internal static async ValueTask<int> ReadFullyAsync(
        SafeFileHandle file, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var read = 0;
        while (read < buffer.Length)
        {
            var got = await RandomAccess.ReadAsync(file, buffer[read..], offset + read, cancellationToken)
                .ConfigureAwait(false);
            if (got == 0)
            {
                break;
            }

            read += got;
        }

        return read;
    }

    /// <summary>Removes a directory and what is in it; one that is not there is no error.</summary>
    internal static void RemoveDirectory(string path)
    {
        try
        {
            Directory.Delete(path, recursive: true);
        }
        catch (DirectoryNotFoundException)
        {
            // Gone already, as wanted.
        }
    }

    private void RequireNew(BlobKey key)
    {
        if (Directory.Exists(BlobLayout.BlobDirectory(_root, key)))
        {
            throw new IOException($"Blob {key.ImageId}/{key.Generation} exists already.");
        }
    }

    private SafeFileHandle? OpenPart(BlobKey key, BlobPart part) =>
        DirectoryDisk.OpenRead(Path.Combine(BlobLayout.BlobDirectory(_root, key), BlobLayout.FileName(part)));

    private IEnumerable<BlobEntry> List(CancellationToken cancellationToken)
    {
        foreach (var image in Directory.EnumerateDirectories(_root))
        {
            var imageId = Path.GetFileName(image);
            if (!BlobLayout.IsCanonicalId(imageId))
            {
                continue;
            }

            foreach (var blob in Names(image))
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (BlobLayout.TryParse(imageId, Path.GetFileName(blob), out var key))
                {
                    yield return new BlobEntry(key, IsCommitted: true, ModifiedAt(blob));
                }
            }
        }

        foreach (var upload in Names(Path.Combine(_root, BlobLayout.Uploads)))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (BlobLayout.TryParseUpload(Path.GetFileName(upload), out var key))
            {
                yield return new BlobEntry(key, IsCommitted: false, ModifiedAt(upload));
            }
        }
    }

    private static bool IsEmpty(string directory)
    {
        try
        {
            return !Directory.EnumerateFileSystemEntries(directory).Any();
        }
        catch (DirectoryNotFoundException)
        {
            return false; // removed meanwhile
        }
    }

    // Read whole before anything is returned: the caller may well delete what it is told of.
    private static string[] Names(string directory)
    {
        try
        {
            return Directory.GetDirectories(directory);
        }
        catch (DirectoryNotFoundException)
        {
            return [];
        }
    }

    private static DateTimeOffset ModifiedAt(string directory)
    {
        var latest = Directory.GetLastWriteTimeUtc(directory);
        foreach (var part in (ReadOnlySpan<BlobPart>)[BlobPart.Data, BlobPart.Index])
        {
            var time = File.GetLastWriteTimeUtc(Path.Combine(directory, BlobLayout.FileName(part)));
            latest = time > latest ? time : latest;
        }

        return new DateTimeOffset(latest, TimeSpan.Zero);
    }

    private void RemoveIfEmpty(string imageDirectory)
    {
        try
        {
            Directory.Delete(imageDirectory, recursive: false);
        }
        catch (DirectoryNotFoundException)
        {
            // Somebody else was as tidy.
        }
        catch (IOException exception)
        {
            Log.Kept(_logger, imageDirectory, exception.Message); // another generation lives there
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Debug, "Kept directory {Path}: {Reason}")]
        public static partial void Kept(ILogger logger, string path, string reason);
    }
}
