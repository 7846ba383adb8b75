using Registry.Storage.Blobs;

namespace Registry.Api;

/// <summary>The data directory, held by this process alone while it runs.</summary>
/// <remarks>With the embedded database there is one process; holding the lock is what lets it take over, at its start,
/// whatever
/// a killed predecessor left half done.</remarks>
public sealed class DataDirectory : IDisposable
{
    private readonly FileStream _lock;

    private DataDirectory(FileStream @lock) => _lock = @lock;

    /// <summary>Makes the directory where it is missing and takes the lock.</summary>
    /// <exception cref="ConfigurationException">Another process has it, or it cannot be made.</exception>
    public static DataDirectory Take(string path)
    {
        try
        {
            DurableDirectory.Create(path);
            return new DataDirectory(new FileStream(
                Path.Combine(path, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"The data directory '{path}' cannot be used: {e.Message}");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _lock.Dispose();
}
