using System.CommandLine;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Cli;

/// <summary>registry db purge.</summary>
internal static class PurgeCommand
{
    private const int DaysUsual = 30;
    private const int DaysMax = 36_500;

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var config = ServeCommand.ConfigOption();
        var age = new Option<int>("--age")
        {
            Description = "Only what was deleted, or ended, more than so many days ago",
            DefaultValueFactory = _ => DaysUsual,
        };
        var rows = new Option<int?>("--rows") { Description = "At most so many rows of each table [all]" };
        var command = new Command("purge", """
            Remove the rows of images that were deleted long ago, and of jobs and tasks that ended long ago.
            The ids of the images stay taken for ever. On PostgreSQL it may run while servers do; it may be stopped at any
            time, and goes on when it is run again.
            """)
        {
            config, age, rows,
        };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var (days, most) = (parsed.GetValue(age), parsed.GetValue(rows));
            if (days is < 0 or > DaysMax || most < 1)
            {
                throw new CommandException($"--age must be 0 to {DaysMax}, and --rows 1 or more.");
            }

            await using var app = ServeCommand.BuildForVerb(parsed.GetValue(config));
            await DbCommand.RequireSchemaAsync(app.Services, cancellationToken);
            try
            {
                var purged = await app.Services.GetRequiredService<DatabasePurge>().RunAsync(
                    TimeSpan.FromDays(days), most, cancellationToken);
                Write(purged, output.IsJson(parsed));
                return 0;
            }
            catch (RegistryException e)
            {
                throw new CommandException(e.Message);
            }
        });
        return command;
    }

    private static void Write(PurgedRows purged, bool asJson)
    {
        if (asJson)
        {
            OutputOption.WriteJson(json =>
            {
                json.WriteStartObject();
                json.WriteNumber("images", purged.Images);
                json.WriteNumber("jobs", purged.Jobs);
                json.WriteEndObject();
            });
            return;
        }

        Console.WriteLine($"images  {purged.Images}");
        Console.WriteLine($"jobs    {purged.Jobs}");
    }
}
