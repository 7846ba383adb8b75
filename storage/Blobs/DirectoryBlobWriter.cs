using Microsoft.Extensions.Logging;
using Microsoft.Win32.SafeHandles;

namespace Registry.Storage.Blobs;

/// <summary>Writes one blob of a directory store.</summary>
/// <remarks>
/// Commit, in this order, each step undone by the cleanup if a later one fails:
/// 1. set the data file's length (its tail may be a hole), flush both files, flush the upload's directory;
/// 2. make the image's directory, flush the root that got it;
/// 3. rename the upload's directory into it: the blob is visible, whole;
/// 4. flush the image's directory: the blob survives a power cut.
/// A flush that fails is never repeated: the kernel may have dropped the pages it could not write.
/// Data that is adopted is linked into the upload's directory and read there; what is appended is what was read from it.
/// </remarks>
internal sealed partial class DirectoryBlobWriter : IBlobWriter
{
    private const int RenameAttemptsMax = 5;
    private const int WritebackBytes = 8 << 20;

    private readonly string _storeId;
    private readonly string _root;
    private readonly BlobKey _key;
    private readonly DirectoryDisk _disk;
    private readonly ILogger _logger;
    private readonly string _directory;
    private readonly FileStream _data;
    private readonly FileStream _index;
    private long _dataLength;
    private long _writtenBack;
    private long _indexLength;
    private readonly bool _isAdopted;
    private bool _isCommitted;
    private bool _isDisposed;

    public DirectoryBlobWriter(
        string storeId, string root, BlobKey key, DirectoryDisk disk, ILogger logger, SafeFileHandle? adopted = null)
    {
        _storeId = storeId;
        _root = root;
        _key = key;
        _disk = disk;
        _logger = logger;
        _directory = BlobLayout.UploadDirectory(root, key);
        _isAdopted = adopted is not null;
        try
        {
            DirectoryDisk.CreateDirectory(_directory);
            _data = adopted is null
                ? DirectoryDisk.CreateFile(PathOf(BlobPart.Data))
                : DirectoryDisk.LinkFile(adopted, PathOf(BlobPart.Data));
            _index = DirectoryDisk.CreateFile(PathOf(BlobPart.Index));
        }
        catch (Exception exception) when (DirectoryDisk.IsFailure(exception))
        {
            // Only what this writer made: a directory that was there is another's.
            if (_data is null)
            {
                RemoveIfEmpty(_directory);
            }
            else
            {
                _data.Dispose();
                Remove(_directory);
            }

            throw DirectoryDisk.Describe(storeId, exception);
        }
    }

    public async ValueTask AppendAsync(BlobPart part, ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        try
        {
            if (part == BlobPart.Index)
            {
                await RandomAccess.WriteAsync(_index.SafeFileHandle, bytes, _indexLength, cancellationToken)
                    .ConfigureAwait(false);
                _indexLength += bytes.Length;
                return;
            }

            if (_isAdopted)
            {
                _dataLength += bytes.Length;
                return;
            }

            await WriteSparselyAsync(bytes, cancellationToken).ConfigureAwait(false);
            _dataLength += bytes.Length;
            StartWriteback();
        }
        catch (Exception exception) when (DirectoryDisk.IsFailure(exception))
        {
            throw DirectoryDisk.Describe(_storeId, exception);
        }
    }

    public async ValueTask<int> ReadAsync(
        BlobPart part, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        var (file, length) = part == BlobPart.Data ? (_data, _dataLength) : (_index, _indexLength);
        var wanted = buffer[..(int)Math.Min(buffer.Length, Math.Max(0, length - offset))];
        var read = await DirectoryBlobStore.ReadFullyAsync(file.SafeFileHandle, offset, wanted, cancellationToken)
            .ConfigureAwait(false);
        wanted.Span[read..].Clear(); // a hole at the end is not in the file yet
        return wanted.Length;
    }

    public ValueTask CommitAsync(CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        cancellationToken.ThrowIfCancellationRequested();
        try
        {
            FlushUpload();
            var visible = PublishUpload();
            FlushPublished(visible);
        }
        catch (Exception exception) when (DirectoryDisk.IsFailure(exception))
        {
            throw DirectoryDisk.Describe(_storeId, exception);
        }

        _isCommitted = true;
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        await _data.DisposeAsync().ConfigureAwait(false);
        await _index.DisposeAsync().ConfigureAwait(false);
        if (!_isCommitted)
        {
            Remove(_directory);
        }
    }

    // While the upload still runs the disk has time: what is written back by then, the flush at the end need not wait
    // for.
    private void StartWriteback()
    {
        var length = _dataLength - _writtenBack;
        if (length >= WritebackBytes)
        {
            DirectoryDisk.StartWriteback(_data.SafeFileHandle, _writtenBack, length);
            _writtenBack = _dataLength;
        }
    }

    // Zero stretches between the block boundaries of the file are skipped: a new file reads as zeroes there.
    private async ValueTask WriteSparselyAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        var at = 0;
        while (at < bytes.Length)
        {
            var isZero = IsZero(bytes, at, out var end);
            while (end < bytes.Length && IsZero(bytes, end, out var next) == isZero)
            {
                end = next;
            }

            if (!isZero)
            {
                await RandomAccess.WriteAsync(
                    _data.SafeFileHandle, bytes[at..end], _dataLength + at, cancellationToken).ConfigureAwait(false);
            }

            at = end;
        }
    }

    private bool IsZero(ReadOnlyMemory<byte> bytes, int at, out int end)
    {
        var untilBoundary = BlobIndex.BlockBytes - (int)((_dataLength + at) % BlobIndex.BlockBytes);
        end = Math.Min(bytes.Length, at + untilBoundary);
        return !bytes.Span[at..end].ContainsAnyExcept((byte)0);
    }

    private void FlushUpload()
    {
        if (!_isAdopted)
        {
            RandomAccess.SetLength(_data.SafeFileHandle, _dataLength);
        }
        else if (RandomAccess.GetLength(_data.SafeFileHandle) != _dataLength)
        {
            throw new IOException("the file changed while it was read");
        }

        _disk.FlushFile(_data.SafeFileHandle);
        _disk.FlushFile(_index.SafeFileHandle);
        _disk.FlushDirectory(_directory);
    }

    private string PublishUpload()
    {
        var image = BlobLayout.ImageDirectory(_root, _key);
        var visible = BlobLayout.BlobDirectory(_root, _key);
        for (var attempt = 1; ; attempt++)
        {
            DirectoryDisk.CreateDirectory(image);
            try
            {
                _disk.FlushDirectory(_root);
                Directory.Move(_directory, visible);
                return visible;
            }
            catch (DirectoryNotFoundException) when (attempt < RenameAttemptsMax && Directory.Exists(_directory))
            {
                // The image's directory was empty and somebody who deletes tidied it away; make it again.
            }
            catch
            {
                RemoveIfEmpty(image);
                throw;
            }
        }
    }

    private void FlushPublished(string visible)
    {
        try
        {
            _disk.FlushDirectory(BlobLayout.ImageDirectory(_root, _key));
        }
        catch
        {
            Remove(visible);
            RemoveIfEmpty(BlobLayout.ImageDirectory(_root, _key));
            throw;
        }
    }

    // A disk that fails may fail here too. The failure that matters is on its way already; the reaper gets the rest.
    private void Remove(string directory)
    {
        try
        {
            DirectoryBlobStore.RemoveDirectory(directory);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Log.LeftBehind(_logger, directory, exception);
        }
    }

    private void RemoveIfEmpty(string directory)
    {
        try
        {
            Directory.Delete(directory, recursive: false);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Log.NotRemoved(_logger, directory, exception.Message);
        }
    }

    private string PathOf(BlobPart part) => Path.Combine(_directory, BlobLayout.FileName(part));

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "Could not remove {Path}; the reaper will")]
        public static partial void LeftBehind(ILogger logger, string path, Exception exception);

        [LoggerMessage(2, LogLevel.Debug, "Kept directory {Path}: {Reason}")]
        public static partial void NotRemoved(ILogger logger, string path, string reason);
    }
}
