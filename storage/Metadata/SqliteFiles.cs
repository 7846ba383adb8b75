using Microsoft.Data.Sqlite;

namespace Registry.Storage.Metadata;

/// <summary>The files of an embedded database: the database itself, its log and the log's index.</summary>
internal static class SqliteFiles
{
    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private static readonly string[] Suffixes = ["", "-wal", "-shm", "-journal"];

    /// <summary>Makes the files readable and writable by their owner only, whatever the directory's mode and the umask are. A
    /// database that is missing is created so; SQLite gives the other files its mode.</summary>
    /// <param name="connection">How the database is opened. One that is in memory, or opened for reading only, is left
    /// alone.</param>
    /// <returns>Whether they are so; false for a database that was left alone.</returns>
    /// <exception cref="IOException">The database cannot be created.</exception>
    public static bool MakePrivate(SqliteConnectionStringBuilder connection)
    {
        var path = connection.DataSource;
        if (path.Length == 0 || path == ":memory:" || path.StartsWith("file:", StringComparison.OrdinalIgnoreCase)
            || connection.Mode is SqliteOpenMode.Memory or SqliteOpenMode.ReadOnly || OperatingSystem.IsWindows())
        {
            return false;
        }

        if (connection.Mode == SqliteOpenMode.ReadWriteCreate && !File.Exists(path))
        {
            Create(path);
        }

        foreach (var file in Suffixes.Select(suffix => path + suffix).Where(File.Exists))
        {
            Restrict(file);
        }

        return true;
    }

    private static void Create(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        try
        {
            using var file = new FileStream(path, new FileStreamOptions
            {
                Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = Private,
            });
        }
        catch (IOException) when (File.Exists(path))
        {
            // Another process has created it meanwhile.
        }
    }

    // A file of another user's stays as that user made it.
    private static void Restrict(string file)
    {
        if (OperatingSystem.IsWindows() || File.GetUnixFileMode(file) == Private)
        {
            return;
        }

        try
        {
            File.SetUnixFileMode(file, Private);
        }
        catch (UnauthorizedAccessException)
        {
            // The operating system protects it from this process.
        }
    }
}
