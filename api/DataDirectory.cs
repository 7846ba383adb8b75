using Registry.Storage.Blobs;
using Registry.Storage.Metadata;

namespace Registry.Api;

/// <summary>The data directory, held by this process alone while it runs.</summary>
/// <remarks>With the embedded database there is one process; holding the lock is what lets it take over, at its start,
/// whatever a killed predecessor left half done.</remarks>
public sealed class DataDirectory : IDisposable
{
    private const int WouldBlock = 11;
    private const int ReadOnlyFileSystem = 30;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(50);

    private readonly FileStream _lock;

    private DataDirectory(FileStream @lock, DiskReserve reserve) => (_lock, Reserve) = (@lock, reserve);

    /// <summary>Room that is kept for deletions on a full disk.</summary>
    public DiskReserve Reserve { get; }

    /// <summary>How to connect to the embedded database. On a read-only file system: for reading, and without a log
    /// where there is none, since none can be made.</summary>
    public string ConnectionString
    {
        get
        {
            var file = Path.Combine(Path.GetDirectoryName(_lock.Name)!, "registry.db");
            return !Reserve.IsReadOnly ? $"Data Source={file}"
                : File.Exists(file + "-wal") ? $"Data Source={file};Mode=ReadOnly"
                : $"Data Source={new Uri(file).AbsoluteUri}?immutable=1;Mode=ReadOnly";
        }
    }

    /// <summary>Makes the directory where it is missing and takes the lock, for which it waits up to five seconds: a
    /// process that was killed keeps it until the kernel has freed its memory.</summary>
    /// <param name="path">The directory.</param>
    /// <param name="reserveBytes">Size in bytes of what is kept for a full disk; 0 for nothing.</param>
    /// <exception cref="ConfigurationException">Another process has it, or it cannot be made.</exception>
    public static DataDirectory Take(string path, long reserveBytes)
    {
        FileStream? @lock = null;
        try
        {
            DurableDirectory.Create(path);
            @lock = Open(Path.Combine(Path.GetFullPath(path), "lock"));
            return new DataDirectory(@lock, DiskReserve.Open(Path.GetFullPath(path), reserveBytes, TimeProvider.System));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            @lock?.Dispose();
            throw new ConfigurationException($"The data directory '{path}' cannot be used: {e.Message}");
        }
    }

    private static FileStream Open(string path)
    {
        var started = TimeProvider.System.GetTimestamp();
        using var pause = new ManualResetEventSlim();
        while (true)
        {
            try
            {
                return OpenOnce(path);
            }
            catch (IOException e) when (
                e.HResult == WouldBlock && TimeProvider.System.GetElapsedTime(started) < Patience)
            {
                pause.Wait(Poll); // nothing runs yet that could be kept waiting
            }
        }
    }

    // The lock is the kernel's, on the open file: it needs no write, and ends with the process.
    private static FileStream OpenOnce(string path)
    {
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e) when (e.HResult == ReadOnlyFileSystem && File.Exists(path))
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.None);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Reserve.Dispose();
        _lock.Dispose();
    }
}
