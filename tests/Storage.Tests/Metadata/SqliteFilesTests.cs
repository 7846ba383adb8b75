using System.Runtime.Versioning;
using Registry.Storage.Metadata;
using Registry.Support;

namespace Registry.Storage.Tests.Metadata;

/// <summary>The files of an embedded database are their owner's alone.</summary>
[UnsupportedOSPlatform("windows")]
public sealed class SqliteFilesTests : IDisposable
{
    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const UnixFileMode Open = (UnixFileMode)0b110_110_110;

    private readonly TempDirectory _directory = new();

    private string Path => _directory.File("registry.db");

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task All_files_are_private_in_a_directory_that_is_not(bool isOld)
    {
        File.SetUnixFileMode(_directory.Path, (UnixFileMode)0b111_111_111);
        if (isOld)
        {
            await UseAsync(new TestDatabase(Options()), database =>
            {
                foreach (var file in Files())
                {
                    File.SetUnixFileMode(file, Open); // as an earlier version made them
                }

                return Task.CompletedTask;
            });
        }

        await UseAsync(new TestDatabase(Options()), async database =>
        {
            await using var db = await database.OpenAsync();
            Assert.Contains(Path + "-wal", Files());
            Assert.Contains(Path + "-shm", Files());
            foreach (var file in Files())
            {
                Assert.Equal(Private, File.GetUnixFileMode(file));
            }
        });
    }

    [Fact]
    public async Task A_database_that_is_only_read_is_left_alone()
    {
        await UseAsync(new TestDatabase(Options()), _ => Task.CompletedTask);
        File.SetUnixFileMode(Path, Open);
        await using (var reading = new TestDatabase(Options() with { ConnectionString = $"Data Source={Path};Mode=ReadOnly" }))
        {
            Assert.Empty(await reading.Get<DatabaseMigrator>().PendingAsync(TestContext.Current.CancellationToken));
        }

        Assert.Equal(Open, File.GetUnixFileMode(Path));
    }

    private DatabaseOptions Options() => new() { Kind = DatabaseKind.Sqlite, ConnectionString = $"Data Source={Path}" };

    private string[] Files() => Directory.GetFiles(_directory.Path, "registry.db*");

    private static async Task UseAsync(TestDatabase database, Func<TestDatabase, Task> use)
    {
        await using (database)
        {
            await database.Get<DatabaseMigrator>().MigrateAsync(TestContext.Current.CancellationToken);
            await using var db = await database.OpenAsync();
            await Microsoft.EntityFrameworkCore.RelationalDatabaseFacadeExtensions.OpenConnectionAsync(
                db.Database, TestContext.Current.CancellationToken);
            await use(database);
        }
    }
}
