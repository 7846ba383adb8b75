using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace Registry.Api.Cli;

/// <summary>The verbs of registry cache that are about the server's cache.</summary>
internal static class ServerCacheCommands
{
    private const string Path = "/v2/cache";
    private const string TargetHeader = "x-image-cache-clear-target";

    /// <summary>Makes the verbs that are about nothing else.</summary>
    public static IEnumerable<Command> Create()
    {
        yield return ImagesCommand(
            "queue", "Have the server fetch images into its cache.", HttpMethod.Put);
        yield return ImagesCommand(
            "drop", "Take images out of the server's cache and its queue.", HttpMethod.Delete);
        yield return ClearCommand();
        yield return CleanCommand();
    }

    /// <summary>Lists what is in the cache, last used first, and what is to be fetched.</summary>
    public static async Task ListAsync(ParseResult parsed, bool isJson, CancellationToken cancellationToken)
    {
        using var server = ConnectionOptions.ImageApiOf(parsed);
        var answer = await server.GetAsync(Path, cancellationToken);
        if (isJson)
        {
            OutputOption.WriteJson(answer.WriteTo);
            return;
        }

        var cached = answer.GetProperty("cached_images").EnumerateArray().Select(one => new[]
        {
            Text(one, "image_id"), "cached", Sizes.Show(one.GetProperty("size").GetInt64()),
            one.GetProperty("hits").GetInt64().ToString(CultureInfo.InvariantCulture), Time(one, "last_accessed"),
        });
        var queued = answer.GetProperty("queued_images").EnumerateArray()
            .Select(one => new[] { one.GetString()!, "queued", "", "", "" });
        TextTable.Write(["IMAGE", "STATE", "SIZE", "HITS", "USED"], cached.Concat(queued));
    }

    /// <summary>Makes room, and says how much.</summary>
    public static async Task PruneAsync(ParseResult parsed, bool isJson, CancellationToken cancellationToken)
    {
        using var server = ConnectionOptions.ImageApiOf(parsed);
        var answer = (await server.SendAsync(HttpMethod.Post, Path + "/prune", null, cancellationToken))!.Value;
        if (isJson)
        {
            OutputOption.WriteJson(answer.WriteTo);
            return;
        }

        TextTable.Write(
            ["FILES", "SIZE"],
            [
                [
                    answer.GetProperty("total_files_pruned").GetInt64().ToString(CultureInfo.InvariantCulture),
                    Sizes.Show(answer.GetProperty("total_bytes_pruned").GetInt64()),
                ],
            ]);
    }

    private static Command ImagesCommand(string name, string description, HttpMethod method)
    {
        var images = new Argument<string[]>("IMAGE")
        {
            Description = "Ids or names", Arity = ArgumentArity.OneOrMore,
        };
        var command = new Command(name, description) { images };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var server = ConnectionOptions.ImageApiOf(parsed);
            foreach (var image in parsed.GetValue(images)!)
            {
                var id = await FindAsync(parsed, image, cancellationToken);
                await server.SendAsync(method, $"{Path}/{id}", null, cancellationToken);
            }

            return 0;
        });
        return command;
    }

    private static Command ClearCommand()
    {
        var target = new Option<string>("--target")
        {
            Description = "Only the cache, or only the queue",
            DefaultValueFactory = _ => "",
        };
        target.AcceptOnlyFromAmong("cache", "queue");
        var command = new Command("clear", "Empty the server's cache and its queue.") { target };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var server = ConnectionOptions.ImageApiOf(parsed);
            await server.SendAsync(
                HttpMethod.Delete, Path, null, cancellationToken, (TargetHeader, parsed.GetValue(target) ?? ""));
            return 0;
        });
        return command;
    }

    private static Command CleanCommand()
    {
        var command = new Command("clean", "Remove from the server's cache what belongs to no image any more.");
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var server = ConnectionOptions.ImageApiOf(parsed);
            await server.SendAsync(HttpMethod.Post, Path + "/clean", null, cancellationToken);
            return 0;
        });
        return command;
    }

    // An id is taken as it is: what is in the cache may have been deleted since.
    private static async Task<string> FindAsync(
        ParseResult parsed, string idOrName, CancellationToken cancellationToken)
    {
        if (Guid.TryParseExact(idOrName, "D", out _))
        {
            return idOrName;
        }

        using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
        return (await registry.FindImageAsync(idOrName, cancellationToken)).Id;
    }

    private static string Text(JsonElement one, string name) => one.GetProperty(name).GetString()!;

    private static string Time(JsonElement one, string name) =>
        DateTimeOffset.FromUnixTimeMilliseconds((long)(one.GetProperty(name).GetDouble() * 1000))
            .ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}
