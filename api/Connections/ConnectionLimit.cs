namespace Registry.Api.Connections;

/// <summary>How many connections a process may have open.</summary>
internal static class ConnectionLimit
{
    // Files of the stores that are kept open, the database, outgoing connections and what the runtime needs.
    private const long ReserveFiles = 512;

    // A connection and the file, or the connection to a store, that its request reads from or writes to.
    private const int FilesPerConnection = 2;

    private const long MemoryPerConnection = 64 << 10;
    private const int Least = 32;
    private const int Most = 16384;

    /// <summary>Derives the limit.</summary>
    /// <param name="files">Descriptors that the process may have.</param>
    /// <param name="memoryBytes">Bytes of the process's memory budget.</param>
    public static int Of(long files, long memoryBytes)
    {
        var reserve = Math.Min(ReserveFiles, files / 2);
        return (int)Math.Clamp(
            Math.Min((files - reserve) / FilesPerConnection, memoryBytes / MemoryPerConnection), Least, Most);
    }
}
