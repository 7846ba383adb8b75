using System.CommandLine;
using Registry.Api.Metadefs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Cli;

/// <summary>registry db load-metadefs.</summary>
internal static class LoadMetadefsCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var config = ServeCommand.ConfigOption();
        var path = new Option<DirectoryInfo?>("--path")
        {
            Description = "Folder of JSON files as Glance has them, one namespace each; without it those that come with this program",
        };
        var merge = new Option<bool>("--merge") { Description = "Add to namespaces that are there what they have not got" };
        var preferNew = new Option<bool>("--prefer-new", "--prefer_new")
        {
            Description = "With --merge: replace what they have got otherwise",
        };
        var overwrite = new Option<bool>("--overwrite")
        {
            Description = "Delete namespaces that are there first, protected ones too",
        };
        var command = new Command(
            "load-metadefs", "Load metadata definitions; namespaces that are there stay as they are unless said otherwise.")
        {
            config, path, merge, preferNew, overwrite,
        };
        command.SetAction((parsed, cancellationToken) => RunAsync(
            parsed.GetValue(config),
            parsed.GetValue(path),
            Mode(parsed.GetValue(merge), parsed.GetValue(preferNew), parsed.GetValue(overwrite)),
            cancellationToken));
        return command;
    }

    private static LoadMode Mode(bool isMerged, bool isNewPreferred, bool isOverwritten) =>
        (isMerged, isNewPreferred, isOverwritten) switch
        {
            (false, false, false) => LoadMode.Keep,
            (true, false, false) => LoadMode.Merge,
            (true, true, false) => LoadMode.MergeNew,
            (false, false, true) => LoadMode.Overwrite,
            _ => throw new CommandException("--prefer-new goes with --merge, and --overwrite with neither."),
        };

    private static async Task<int> RunAsync(
        FileInfo? config, DirectoryInfo? path, LoadMode mode, CancellationToken cancellationToken)
    {
        // All files are read before anything is written: one that cannot be used leaves no half.
        var items = path is null ? MetadefLoader.Catalogue() : MetadefLoader.Folder(path.FullName);
        await using var app = ServeCommand.BuildForVerb(config);
        await DbCommand.RequireSchemaAsync(app.Services, cancellationToken);

        var loader = app.Services.GetRequiredService<MetadefLoader>();
        foreach (var item in items)
        {
            try
            {
                Console.WriteLine(
                    $"{item.Draft.Settings.Name}: {await loader.LoadAsync(item, mode, cancellationToken)}");
            }
            catch (RegistryException refusal)
            {
                throw new CommandException($"{item.Source}: {refusal.Message}");
            }
        }

        return 0;
    }
}
