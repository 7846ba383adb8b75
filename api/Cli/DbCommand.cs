using System.CommandLine;
using Microsoft.Extensions.Options;
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

    /// <summary>Brings the schema of the embedded database up to date, as a server does when it starts, and refuses
    /// another database with a schema that is not.</summary>
    /// <exception cref="CommandException">The schema is not up to date.</exception>
    internal static async Task RequireSchemaAsync(IServiceProvider services, CancellationToken cancellationToken)
    {
        var migrator = services.GetRequiredService<DatabaseMigrator>();
        if (services.GetRequiredService<IOptions<RegistryOptions>>().Value.IsEmbedded)
        {
            await migrator.MigrateAsync(cancellationToken);
        }
        else if ((await migrator.PendingAsync(cancellationToken)).Count > 0)
        {
            throw new CommandException("The database's schema is not up to date: run 'registry db upgrade' first.");
        }
    }

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
