using System.CommandLine;
using Registry.Storage.Metadata;

namespace Registry.Api.Cli;

/// <summary>registry db.</summary>
internal static class DbCommand
{
    private const int Behind = 1;
    private const int Ahead = 2;

    /// <summary>Makes the command.</summary>
    public static Command Create() => new(
        "db", "Look after the database; the embedded one is upgraded by serve itself.")
    {
        Verb("upgrade", "Bring the schema up to date. Replicas may run it at the same time.", UpgradeAsync),
        Verb("status", "List the migrations that are missing. Exit code 0: none, 1: some, 2: the schema is newer than this program.", StatusAsync),
        PurgeCommand.Create(),
        LoadMetadefsCommand.Create(),
        ImportGlanceCommand.Create(),
    };

    private static Command Verb(
        string name, string description, Func<DatabaseMigrator, CancellationToken, Task<int>> run)
    {
        var config = ServeCommand.ConfigOption();
        var command = new Command(name, description) { config };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            await using var app = ServeCommand.BuildForVerb(parsed.GetValue(config));
            return await run(app.Services.GetRequiredService<DatabaseMigrator>(), cancellationToken);
        });
        return command;
    }

    private static async Task<int> UpgradeAsync(DatabaseMigrator migrator, CancellationToken cancellationToken)
    {
        await migrator.MigrateAsync(cancellationToken);
        return 0;
    }

    private static async Task<int> StatusAsync(DatabaseMigrator migrator, CancellationToken cancellationToken)
    {
        var unknown = await migrator.UnknownAsync(cancellationToken);
        if (unknown.Count > 0)
        {
            Console.WriteLine($"The schema is newer than this program: {string.Join(", ", unknown)}");
            return Ahead;
        }

        var pending = await migrator.PendingAsync(cancellationToken);
        Console.WriteLine(pending.Count == 0 ? "The schema is up to date." : string.Join('\n', pending));
        return pending.Count == 0 ? 0 : Behind;
    }
}
