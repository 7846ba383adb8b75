using System.CommandLine;
using System.Globalization;

namespace Registry.Api.Cli;

/// <summary>registry cache: the server's, and the bases of thin disks on this host.</summary>
internal static class CacheCommand
{
    /// <summary>Where the bases are kept.</summary>
    public static readonly Option<string?> Directory = new("--cache")
    {
        Description = "Directory of the bases on this host [REGISTRY_CACHE]",
    };

    /// <summary>How much of them is kept.</summary>
    public static readonly Option<long?> Most = new("--cache-size")
    {
        Description = "Remove the bases used longest ago until the others take no more, e.g. 200G",
        CustomParser = Sizes.ParseOption,
    };

    // Not the environment's word: a verb that is about the server must not turn to this host by itself.
    private static readonly Option<string?> BasesDirectory = new("--cache")
    {
        Description = "The bases in this directory on this host, not the server's cache",
    };

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var command = new Command("cache", Help)
        {
            ListCommand(), PruneCommand(), WarmCommand(), CheckCommand(),
        };
        foreach (var verb in ServerCacheCommands.Create())
        {
            command.Add(verb);
        }

        return command;
    }

    private const string Help = """
        Look after the server's cache of distant stores; with --cache DIR, after the bases of thin disks on this host.

        The server's cache holds blocks of images (Registry:Cache). It fills itself when images are read; 'queue' has one
        fetched before. Several replicas have a cache each: the verbs are about the one that answers.

        A base is an image's disk, brought once and named by all overlays that 'registry provision --thin' makes of it.
        It is removed only when no such overlay is left where it was made: before you move one elsewhere, make it whole
        ('registry disk convert') or keep the base yourself. No other user may write to the directory; 'check' reads all
        bases and compares them with the digests taken when they were fetched.
        """;

    /// <summary>Opens the cache that the command line names.</summary>
    /// <exception cref="CommandException">It names none.</exception>
    public static ImageCache Open(ParseResult parsed) => ImageCache.Open(
        parsed.GetValue(Directory) ?? Environment.GetEnvironmentVariable("REGISTRY_CACHE")
        ?? throw new CommandException("name the directory of the bases with --cache or REGISTRY_CACHE"));

    private static Command WarmCommand()
    {
        var image = new Argument<string>("IMAGE") { Description = "Id or name" };
        var command = new Command("warm", "Bring an image's disk before the first instance wants it.")
        {
            image, Directory, Most, ProvisionCommand.Retry, ProvisionCommand.Direct,
        };
        TargetRules.AddModeTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var cache = Open(parsed);
            var rules = TargetRules.Of(parsed).ForReading;
            using var api = ConnectionOptions.ImageApiOf(parsed);
            var (id, digest) = await api.FindDigestAsync(parsed.GetValue(image)!, cancellationToken);
            await cache.UseAsync(
                id,
                digest,
                path => ProvisionCommand.DownloadAsync(
                    path, ProvisionMark.Of(id, digest, "raw", 0), rules, parsed, cancellationToken),
                path =>
                {
                    Console.WriteLine(path);
                    return Task.CompletedTask;
                },
                cancellationToken);
            if (parsed.GetValue(Most) is { } most)
            {
                await cache.PruneAsync(most, cancellationToken);
            }

            return 0;
        });
        return command;
    }

    private static Command ListCommand()
    {
        var command = new Command("list", "List what is cached, last used first, and what is queued.")
        {
            BasesDirectory,
        };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            if (parsed.GetValue(BasesDirectory) is { } directory)
            {
                using var cache = System.IO.Directory.Exists(directory) ? ImageCache.Open(directory) : null;
                Print(cache is null ? [] : await cache.ListAsync(cancellationToken), output.IsJson(parsed));
            }
            else
            {
                await ServerCacheCommands.ListAsync(parsed, output.IsJson(parsed), cancellationToken);
            }

            return 0;
        });
        return command;
    }

    private static Command PruneCommand()
    {
        var command = new Command("prune", """
            Remove what was used longest ago: of the server's cache, what its settings have no room for; of bases, all
            that no overlay needs, or down to --cache-size.
            """)
        {
            BasesDirectory, Most,
        };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            if (parsed.GetValue(BasesDirectory) is { } directory)
            {
                using var cache = System.IO.Directory.Exists(directory) ? ImageCache.Open(directory) : null;
                Print(
                    cache is null ? [] : await cache.PruneAsync(parsed.GetValue(Most) ?? 0, cancellationToken),
                    output.IsJson(parsed));
            }
            else if (parsed.GetValue(Most) is not null)
            {
                throw new CommandException("--cache-size goes with --cache DIR; the server's settings say how much it keeps.");
            }
            else
            {
                await ServerCacheCommands.PruneAsync(parsed, output.IsJson(parsed), cancellationToken);
            }

            return 0;
        });
        return command;
    }

    private static Command CheckCommand()
    {
        var command = new Command("check", """
            Read all bases of thin disks on this host and compare them with what was fetched. Exit code 1: one is damaged.
              registry cache check --cache /var/cache/registry
            """)
        {
            Directory,
        };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var cache = Open(parsed);
            var bases = await cache.CheckAsync(cancellationToken);
            Print(bases, output.IsJson(parsed));
            return bases.All(one => one.DamagedBlocks == 0) ? 0 : 1;
        });
        return command;
    }

    private static void Print(IReadOnlyList<ImageCache.Checked> bases, bool isJson)
    {
        if (!isJson)
        {
            TextTable.Write(
                ["BASE", "STATE", "DAMAGED", "OVERLAYS"],
                bases.Select(one => new[]
                {
                    one.Path, StateOf(one), $"{one.DamagedBlocks?.ToString(CultureInfo.InvariantCulture) ?? "-"} MiB",
                    $"{one.Overlays}",
                }));
            return;
        }

        OutputOption.WriteJson(json =>
        {
            json.WriteStartArray();
            foreach (var one in bases)
            {
                json.WriteStartObject();
                json.WriteString("path", one.Path);
                json.WriteString("state", StateOf(one));
                if (one.DamagedBlocks is { } blocks)
                {
                    json.WriteNumber("damaged_blocks", blocks);
                }

                json.WriteNumber("overlays", one.Overlays);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        });
    }

    private static string StateOf(ImageCache.Checked one) =>
        one.DamagedBlocks is { } blocks ? blocks == 0 ? "whole" : "damaged" : "unknown";

    private static void Print(IReadOnlyList<ImageCache.Base> bases, bool isJson)
    {
        if (!isJson)
        {
            TextTable.Write(
                ["BASE", "SIZE", "OVERLAYS", "USED"],
                bases.Select(one => new[]
                {
                    one.Path, Sizes.Show(one.Bytes), $"{one.Overlays}", $"{one.UsedAt:yyyy-MM-dd'T'HH:mm:ss'Z'}",
                }));
            return;
        }

        OutputOption.WriteJson(json =>
        {
            json.WriteStartArray();
            foreach (var one in bases)
            {
                json.WriteStartObject();
                json.WriteString("path", one.Path);
                json.WriteNumber("bytes", one.Bytes);
                json.WriteNumber("overlays", one.Overlays);
                json.WriteString("used_at", one.UsedAt);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        });
    }
}
