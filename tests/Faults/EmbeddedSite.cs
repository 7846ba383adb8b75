using System.Data.Common;
using Microsoft.Data.Sqlite;

namespace Registry.Faults;

/// <summary>SQLite and a directory.</summary>
internal sealed class EmbeddedSite : Site
{
    private readonly string? _data;

    /// <param name="data">Where the registry keeps everything; null for a directory in the scratch directory.</param>
    /// <param name="blobs">Where it keeps image bytes, if elsewhere.</param>
    public EmbeddedSite(string? data = null, string? blobs = null)
    {
        _data = data;
        Blobs = blobs ?? Path.Combine(DataDirectory, "blobs");
        Settings["Registry__Stores__0__Id"] = Store;
        Settings["Registry__Stores__0__Kind"] = "directory";
        Settings["Registry__Stores__0__Path"] = Blobs;
    }

    /// <inheritdoc/>
    public override string Name => "embedded";

    /// <inheritdoc/>
    public override string DataDirectory => _data ?? base.DataDirectory;

    /// <summary>The store's directory.</summary>
    public string Blobs { get; }

    /// <inheritdoc/>
    public override string ConnectionString =>
        $"Data Source={Path.Combine(DataDirectory, "registry.db")};Pooling=False;Default Timeout=30";

    /// <inheritdoc/>
    public override async Task<DbConnection> OpenDatabaseAsync()
    {
        var connection = new SqliteConnection(ConnectionString);
        await connection.OpenAsync();
        return connection;
    }

    /// <inheritdoc/>
    public override Task<IReadOnlyList<StoredFile>> ListAsync()
    {
        var files = new List<StoredFile>();
        foreach (var file in new DirectoryInfo(Blobs).EnumerateFiles("*", SearchOption.AllDirectories))
        {
            try
            {
                files.Add(new StoredFile(Path.GetRelativePath(Blobs, file.FullName), file.Length));
            }
            catch (FileNotFoundException)
            {
                continue; // removed while we look
            }
        }

        return Task.FromResult<IReadOnlyList<StoredFile>>(files);
    }

    /// <inheritdoc/>
    public override async Task FlipAsync(StoredFile file)
    {
        await using var stream = new FileStream(Path.Combine(Blobs, file.Name), FileMode.Open, FileAccess.ReadWrite);
        stream.Position = file.Length / 2;
        var value = stream.ReadByte();
        stream.Position = file.Length / 2;
        stream.WriteByte((byte)(value ^ 1));
    }

    /// <inheritdoc/>
    public override async Task PutAsync(string name, byte[] content)
    {
        var path = Path.Combine(Blobs, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        await File.WriteAllBytesAsync(path, content);
    }

    /// <inheritdoc/>
    public override async Task BreakStoreAsync(Func<Task> meanwhile)
    {
        var aside = Blobs + ".aside";
        Directory.Move(Blobs, aside);
        await File.WriteAllTextAsync(Blobs, "no directory");
        await meanwhile();
        File.Delete(Blobs);
        Directory.Move(aside, Blobs);
    }

    /// <inheritdoc/>
    public override Task RemoveAsync(StoredFile file)
    {
        File.Delete(Path.Combine(Blobs, file.Name));
        return Task.CompletedTask;
    }
}
