using System.CommandLine;
using System.Text.Json;
using Registry.Api.Adoption;
using Registry.Api.Stores;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Cli;

/// <summary>registry db import-glance.</summary>
internal static class ImportGlanceCommand
{
    private const int SomeLeft = 2;

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var config = ServeCommand.ConfigOption();
        var from = new Option<string>("--from")
        {
            Description =
                "Glance's database, as [database] connection of glance-api.conf: " +
                "postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE, mysql+pymysql://…; or as Npgsql writes it",
            Required = true,
        };
        var files = new Option<string[]>("--files")
        {
            Description =
                "Directory of Glance's file store; GLANCE_DIR=DIR where it is another here than where Glance runs. " +
                "May be repeated. Nothing outside is read. Default: " + FileRoot.Usual,
        };
        var copy = new Option<bool>("--copy")
        {
            Description = "Copy files into the store; without it they are linked into it",
        };
        var store = new Option<string?>("--store")
        {
            Description = "Store that the bytes go to; the default store otherwise",
        };
        var rehearsal = new Option<bool>("--dry-run") { Description = "Only print what would be done" };
        var command = new Command("import-glance", """
            Take images, members, tags, properties and metadata definitions over from Glance, with their ids and times.

            Files of Glance's file store are taken in place: linked into a directory store on the same file system (run
            as the user that serves, who must be able to read them), or copied with --copy. S3 objects are copied; their
            bucket must be among Registry:Stores, ReadOnly, with keys of its own: those in Glance's database are not used.
            Every byte is read once and compared with Glance's checksum and hash; nothing is written to Glance. Images
            and namespaces that are there already are passed over, so it can be run again, and after a kill. Glance
            should not change meanwhile.

            Exit code 0: everything is here, 2: something was left out and the output says why, 1: it could not be done.
            """)
        {
            config, from, files, copy, store, rehearsal,
        };
        var output = new OutputOption(command);
        command.SetAction((parsed, cancellationToken) => RunAsync(
            parsed.GetValue(config),
            GlanceConnection.Parse(parsed.GetValue(from)!),
            parsed.GetValue(files) is { Length: > 0 } named
                ? [.. named.Select(FileRoot.Parse)]
                : [new FileRoot(FileRoot.Usual, new(FileRoot.Usual))],
            new Wishes(
                parsed.GetValue(store), parsed.GetValue(copy), parsed.GetValue(rehearsal), output.IsJson(parsed)),
            cancellationToken));
        return command;
    }

    private static async Task<int> RunAsync(
        FileInfo? config, GlanceConnection from, IReadOnlyList<FileRoot> roots, Wishes wishes,
        CancellationToken cancellationToken)
    {
        await using var app = ServeCommand.BuildForVerb(config);
        var services = app.Services;
        await DbCommand.RequireSchemaAsync(services, cancellationToken);
        var stores = services.GetRequiredService<StoreSet>();
        await stores.PrepareAsync(cancellationToken);
        try
        {
            var target = wishes.Store is null ? stores.Default : stores.RequireWritable(wishes.Store);
            var plan = new AdoptionPlan(
                target, new GlanceSources(roots, stores), wishes.IsCopied, wishes.IsRehearsal);
            var adoption = new GlanceAdoption(
                ActivatorUtilities.CreateInstance<ImageAdopter>(services),
                ActivatorUtilities.CreateInstance<MetadefAdopter>(services));
            await using var glance = await GlanceDatabase.OpenAsync(from, cancellationToken);
            var report = new AdoptionReport(await glance.CountDeletedAsync(cancellationToken));
            await foreach (var line in adoption.RunAsync(glance, plan, cancellationToken))
            {
                report.Add(line);
                if (!wishes.IsJson)
                {
                    Terminal.WriteLine(line.ToString());
                }
            }

            Write(report, wishes);
            return report.Left.Count == 0 ? 0 : SomeLeft;
        }
        catch (RegistryException e)
        {
            throw new CommandException(e.Message);
        }
    }

    private static void Write(AdoptionReport report, Wishes wishes)
    {
        if (wishes.IsJson)
        {
            OutputOption.WriteJson(report.WriteTo);
            return;
        }

        foreach (var line in report.Summary(wishes.IsRehearsal))
        {
            Terminal.WriteLine(line);
        }
    }

    private sealed record Wishes(string? Store, bool IsCopied, bool IsRehearsal, bool IsJson);
}
