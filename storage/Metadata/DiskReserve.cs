using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Win32.SafeHandles;

namespace Registry.Storage.Metadata;

/// <summary>Room on the embedded database's disk that is kept for the time when the disk is full: a file whose blocks are
/// allocated. Given up bit by bit, so that images can still be deleted and jobs still be ended.</summary>
/// <remarks>Thread-safe. While any of it is given up, callers should write only what frees room.</remarks>
public sealed partial class DiskReserve : IDisposable
{
    private const int Steps = 16;

    /// <summary>The reserve is filled when so many times its size would be free without it: otherwise it would soon be
    /// needed again.</summary>
    private const int Margin = 2;

    /// <summary>Room that SQLite needs to be opened: the index of its log and the log's first pages.</summary>
    private const long OpenBytes = 1 << 20;

    private const int KeepSize = 1;
    private const int NoSpace = 28;
    private const int FileSystemIsReadOnly = 30;
    private static readonly TimeSpan _refillEvery = TimeSpan.FromSeconds(1);

    private readonly Lock _turn = new();
    private readonly string _path;
    private readonly string _log;
    private readonly long _bytes;
    private readonly TimeProvider _time;
    private readonly SafeFileHandle? _file;
    private long _left;
    private long _triedAt;

    private DiskReserve(string path, long bytes, TimeProvider time)
    {
        (_path, _bytes, _time) = (path, bytes, time);
        _log = Path.Combine(Path.GetDirectoryName(path)!, "registry.db-wal");
        try
        {
            _file = File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite);
            _left = Math.Min(RandomAccess.GetLength(_file), bytes);
        }
        catch (IOException e) when (e.HResult == FileSystemIsReadOnly)
        {
            IsReadOnly = true;
        }
        catch (IOException e) when (e.HResult == NoSpace)
        {
            _left = 0; // not even an empty file: there is nothing to give up
        }
    }

    /// <summary>Logs when the disk is full and when it no longer is.</summary>
    public ILogger Logger { get; set; } = NullLogger.Instance;

    /// <summary>Whether the directory is on a read-only file system.</summary>
    public bool IsReadOnly { get; }

    /// <summary>Whether some of the reserve is given up, which means that the disk is full or was full a moment ago.
    /// </summary>
    public bool IsSpent
    {
        get
        {
            if (IsReadOnly || Volatile.Read(ref _left) >= _bytes)
            {
                return false;
            }

            lock (_turn)
            {
                return !TryRefill();
            }
        }
    }

    /// <summary>Opens the reserve and fills it. On a disk that is full a part of it is given up instead: the database needs
    /// some room to be opened.</summary>
    /// <param name="directory">The directory of the database.</param>
    /// <param name="bytes">Size of the reserve in bytes; 0 for none.</param>
    /// <param name="time">The clock.</param>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public static DiskReserve Open(string directory, long bytes, TimeProvider time)
    {
        var reserve = new DiskReserve(Path.Combine(directory, "reserve"), bytes, time);
        lock (reserve._turn)
        {
            if (!reserve.IsReadOnly && !reserve.TryRefill())
            {
                while (reserve._left > 0 && reserve.Available() < OpenBytes)
                {
                    reserve.Shrink(reserve._left - reserve.Step);
                }
            }
        }

        return reserve;
    }

    /// <summary>Gives up a part of the reserve because a write found no room.</summary>
    /// <returns>False when nothing is left to give up.</returns>
    public bool Release()
    {
        lock (_turn)
        {
            if (_left == 0)
            {
                return false;
            }

            if (_left >= _bytes)
            {
                Log.Full(Logger, Path.GetDirectoryName(_path)!);
            }

            var before = _left;
            Shrink(_left - Step);
            _triedAt = _time.GetTimestamp();
            GrowLog(before - _left);
            return true;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file?.Dispose();

    private long Step => Math.Max(1, _bytes / Steps);

    // The room goes to the log itself, as blocks beyond its end, before another program takes it. Of the database's files
    // only the log may be opened here: closing one of the others would end SQLite's locks on it.
    private void GrowLog(long bytes)
    {
        try
        {
            using var log = File.OpenHandle(
                _log, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
            _ = Allocate(log, KeepSize, RandomAccess.GetLength(log), bytes); // a file system that cannot is no worse off
        }
        catch (IOException e)
        {
            Log.NotGrown(Logger, _log, e.Message);
        }
    }

    private void Shrink(long wanted)
    {
        var length = Math.Max(0, wanted);
        if (_left > length)
        {
            RandomAccess.SetLength(_file!, length);
        }

        Volatile.Write(ref _left, length);
    }

    // Within the turn. True: all of the reserve is there.
    private bool TryRefill()
    {
        if (_left >= _bytes)
        {
            return true;
        }

        if (_triedAt != 0 && _time.GetElapsedTime(_triedAt) < _refillEvery)
        {
            return false;
        }

        _triedAt = _time.GetTimestamp();
        if (_file is null || Available() < (_bytes - _left) + ((Margin - 1) * _bytes)
            || Allocate(_file, _left, _bytes - _left) != 0)
        {
            Trim();
            return false;
        }

        Log.Room(Logger, Path.GetDirectoryName(_path)!);
        Volatile.Write(ref _left, _bytes);
        return true;
    }

    // What a failed allocation got.
    private void Trim()
    {
        if (_file is not null && RandomAccess.GetLength(_file) > _left)
        {
            RandomAccess.SetLength(_file, _left);
        }
    }

    private long Available()
    {
        try
        {
            return new DriveInfo(Path.GetDirectoryName(_path)!).AvailableFreeSpace;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    [LibraryImport("libc", EntryPoint = "posix_fallocate")]
    private static partial int Allocate(SafeFileHandle file, long offset, long length);

    [LibraryImport("libc", EntryPoint = "fallocate")]
    private static partial int Allocate(SafeFileHandle file, int mode, long offset, long length);

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Error,
            "the disk of {Directory} is full: only reading and deleting work until there is room again")]
        public static partial void Full(ILogger logger, string directory);

        [LoggerMessage(2, LogLevel.Information, "there is room again on the disk of {Directory}")]
        public static partial void Room(ILogger logger, string directory);

        [LoggerMessage(3, LogLevel.Debug, "room was given up, but not to {Log}: {Problem}")]
        public static partial void NotGrown(ILogger logger, string log, string problem);
    }
}
