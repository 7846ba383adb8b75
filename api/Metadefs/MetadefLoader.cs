using System.Text.Json;
using Registry.Api.Cli;
using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;
using Registry.Storage.Metadata;

namespace Registry.Api.Metadefs;

/// <summary>What to do with a namespace that is there already.</summary>
internal enum LoadMode
{
    /// <summary>Nothing.</summary>
    Keep,

    /// <summary>Add what it has not got.</summary>
    Merge,

    /// <summary>Add what it has not got, and replace what it has got otherwise.</summary>
    MergeNew,

    /// <summary>Delete it first, protected or not.</summary>
    Overwrite,
}

/// <summary>A namespace to load, and where it comes from.</summary>
/// <param name="Source">Name of the file.</param>
/// <param name="Draft">The namespace.</param>
internal sealed record LoadItem(string Source, NamespaceDraft Draft);

/// <summary>Loads metadata definitions in Glance's JSON format: one namespace a file.</summary>
internal sealed class MetadefLoader(MetadefEditor editor, TimeProvider clock)
{
    private const string ResourcePrefix = "metadefs/";
    private const long FileBytesMax = 16 << 20;

    // Whose definitions are that say nothing of an owner, as Glance has it.
    private const string DefaultOwner = "admin";

    private static readonly JsonDocumentOptions Strict = new() { MaxDepth = 32, AllowDuplicateProperties = false };

    /// <summary>The definitions that come with the program.</summary>
    public static IReadOnlyList<LoadItem> Catalogue()
    {
        var assembly = typeof(MetadefLoader).Assembly;
        return
        [
            .. assembly.GetManifestResourceNames()
                .Where(name => name.StartsWith(ResourcePrefix, StringComparison.Ordinal))
                .Order(StringComparer.Ordinal)
                .Select(name =>
                {
                    using var stream = assembly.GetManifestResourceStream(name)!;
                    return Read(name[ResourcePrefix.Length..], stream);
                }),
        ];
    }

    /// <summary>Reads every <c>*.json</c> of a folder, in the order of their names.</summary>
    /// <exception cref="CommandException">There is none, or one that cannot be used; the message names it.</exception>
    public static IReadOnlyList<LoadItem> Folder(string path)
    {
        if (!Directory.Exists(path))
        {
            throw new CommandException($"There is no folder {path}.");
        }

        var files = Directory.GetFiles(path, "*.json");
        Array.Sort(files, StringComparer.Ordinal);
        if (files.Length == 0)
        {
            throw new CommandException($"There is no JSON file in {path}.");
        }

        return [.. files.Select(file =>
        {
            using var stream = File.OpenRead(file);
            return stream.Length <= FileBytesMax
                ? Read(Path.GetFileName(file), stream)
                : throw new CommandException($"{Path.GetFileName(file)}: longer than {FileBytesMax} bytes.");
        })];
    }

    /// <summary>Loads one namespace.</summary>
    /// <returns>What was done, in a word or two.</returns>
    /// <exception cref="RegistryException">The database does not answer, or a limit is exceeded.</exception>
    public async Task<string> LoadAsync(LoadItem item, LoadMode mode, CancellationToken cancellationToken)
    {
        var draft = item.Draft;
        try
        {
            await editor.CreateAsync(MetadefCommands.Make(draft, clock.GetUtcNow()), cancellationToken);
            return "loaded";
        }
        catch (RegistryException exception) when (exception.Code == ErrorCode.Conflict)
        {
            // It is there already.
        }

        switch (mode)
        {
            case LoadMode.Keep:
                return "there already";
            case LoadMode.Overwrite:
                await editor.ChangeAsync(
                    draft.Settings.Name, Viewer.System, n => Unprotect(n), cancellationToken);
                await editor.DeleteAsync(draft.Settings.Name, Viewer.System, _ => { }, cancellationToken);
                await editor.CreateAsync(MetadefCommands.Make(draft, clock.GetUtcNow()), cancellationToken);
                return "overwritten";
            default:
                await editor.ChangeAsync(
                    draft.Settings.Name, Viewer.System, n => Merge(n, draft, mode == LoadMode.MergeNew),
                    cancellationToken);
                return "merged";
        }
    }

    private static LoadItem Read(string source, Stream stream)
    {
        try
        {
            using var json = JsonDocument.Parse(stream, Strict);
            var draft = MetadefReader.Namespace(json.RootElement, isFile: true);
            draft = draft with { Settings = draft.Settings with { Owner = draft.Settings.Owner ?? DefaultOwner } };
            MetadefCommands.Make(draft, default); // finds names that are there twice
            return new LoadItem(source, draft);
        }
        catch (Exception exception) when (exception is JsonException or RegistryException)
        {
            throw new CommandException($"{source}: {exception.Message}");
        }
    }

    private void Unprotect(MetadefNamespace definitions) => definitions.Replace(
        new MetadefSettings(
            definitions.Name, definitions.DisplayName, definitions.Description, definitions.IsPublic,
            IsProtected: false, definitions.Owner),
        clock.GetUtcNow());

    private void Merge(MetadefNamespace definitions, NamespaceDraft draft, bool isNewPreferred)
    {
        var now = clock.GetUtcNow();
        if (isNewPreferred)
        {
            definitions.Replace(draft.Settings, now);
        }

        foreach (var (name, schema) in draft.Properties)
        {
            if (definitions.Properties.All(p => p.Name != name))
            {
                definitions.AddProperty(name, schema, now);
            }
            else if (isNewPreferred)
            {
                definitions.ReplaceProperty(name, name, schema, now);
            }
        }

        foreach (var content in draft.Objects)
        {
            if (definitions.Objects.All(o => o.Name != content.Name))
            {
                definitions.AddObject(content, now);
            }
            else if (isNewPreferred)
            {
                definitions.ReplaceObject(content.Name, content, now);
            }
        }

        foreach (var tag in draft.Tags.Where(
            t => definitions.Tags.All(known => !known.Name.Equals(t, StringComparison.OrdinalIgnoreCase))))
        {
            definitions.AddTag(tag, now);
        }

        foreach (var association in draft.Associations.Where(
            a => definitions.Associations.All(known => known.Name != a.Name)))
        {
            definitions.Associate(association.Name, association.Prefix, association.PropertiesTarget, now);
        }
    }
}
