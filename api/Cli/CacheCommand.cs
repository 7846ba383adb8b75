using System.CommandLine;

namespace Registry.Api.Cli;

/// <summary>registry cache: the bases of thin disks on this host.</summary>
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

    /// <summary>Makes the command.</summary>
    public static Command Create() => new("cache", """
        Look after the bases of thin disks on this host.

        A base is an image's disk, brought once and named by all overlays that 'registry provision --thin' makes of it.
        It is removed only when no such overlay is left where it was made: before you move one elsewhere, make it whole
        ('registry disk convert') or keep the base yourself.
        """) { WarmCommand(), ListCommand(), PruneCommand() };

    /// <summary>Opens the cache that the command line names.</summary>
    /// <exception cref="CommandException">It names none.</exception>
    public static ImageCache Open(ParseResult parsed) => new(
        parsed.GetValue(Directory) ?? Environment.GetEnvironmentVariable("REGISTRY_CACHE")
        ?? throw new CommandException("name the directory of the bases with --cache or REGISTRY_CACHE."));

    private static Command WarmCommand()
    {
        var image = new Argument<string>("IMAGE") { Description = "Id or name" };
        var command = new Command("warm", "Bring an image's disk before the first instance wants it.")
        {
            image, Directory, Most, ProvisionCommand.Retry, ProvisionCommand.Direct,
        };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var cache = Open(parsed);
            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            var found = await registry.FindImageAsync(parsed.GetValue(image)!, cancellationToken);
            await cache.UseAsync(
                found,
                path => ProvisionCommand.DownloadAsync(
                    registry, found, path, ProvisionMark.Of(found, "raw", 0), parsed, cancellationToken),
                path =>
                {
                    Console.WriteLine(path);
                    return Task.CompletedTask;
                },
                cancellationToken);
            if (parsed.GetValue(Most) is { } most)
            {
                await cache.PruneAsync(most);
            }

            return 0;
        });
        return command;
    }

    private static Command ListCommand()
    {
        var command = new Command("list", "List the bases, last used first.") { Directory };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, _) =>
        {
            Print(await Open(parsed).ListAsync(), output.IsJson(parsed));
            return 0;
        });
        return command;
    }

    private static Command PruneCommand()
    {
        var command = new Command("prune", "Remove bases that no overlay needs: all, or down to --cache-size.")
        {
            Directory, Most,
        };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, _) =>
        {
            Print(await Open(parsed).PruneAsync(parsed.GetValue(Most) ?? 0), output.IsJson(parsed));
            return 0;
        });
        return command;
    }

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
