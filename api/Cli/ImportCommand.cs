using System.CommandLine;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>registry import: bytes for a registered image, by one of the Image API's import methods.</summary>
internal static class ImportCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var image = new Argument<string>("IMAGE") { Description = "The image's id or name" };
        var uri = new Option<string?>("--uri") { Description = "The server downloads this URL (web-download)" };
        var file = new Option<FileInfo?>("--file") { Description = "A local file is staged (glance-direct)" };
        var copy = new Option<string[]>("--copy-to")
        {
            Description = "An active image is copied to this store (copy-image); may be repeated",
        };
        var region = new Option<string?>("--from-region")
        {
            Description = "Region whose image service has the image (glance-download), with --image-id",
        };
        var remote = new Option<string?>("--image-id") { Description = "The image's id in that region" };
        var which = new Option<string?>("--interface")
        {
            Description = "Which address of that region's image service to use: public, internal or admin [public]",
        };
        var stores = new Option<string[]>("--stores")
        {
            Description = "Stores that the bytes go to, separated by commas [the default store]",
        };
        var all = new Option<bool>("--all-stores") { Description = "The bytes go to all stores" };
        var some = new Option<bool>("--allow-failure") { Description = "A store that fails does not fail the import" };
        var wait = new Option<bool>("--wait") { Description = "Wait until it is done; exit code 1 unless it succeeded" };
        var command = new Command("import", """
            Import an image's bytes, which is a job; 'registry tasks' and 'registry jobs' tell how far it is.
              registry import debian --uri https://images.example/debian.qcow2 --wait
              registry import debian --file debian.qcow2 --stores fast,cheap
              registry import debian --copy-to cheap
            """)
        {
            image, uri, file, copy, region, remote, which, stores, all, some, wait,
        };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var source = parsed.GetValue(file);
            var copies = Split(parsed.GetValue(copy));
            var named = copies.Length > 0 ? copies : Split(parsed.GetValue(stores));
            var method = Method(
                parsed.GetValue(uri), source, copies, parsed.GetValue(region), parsed.GetValue(remote),
                parsed.GetValue(which));
            var body = new JsonObject { ["method"] = method };
            if (named.Length > 0)
            {
                body["stores"] = new JsonArray([.. named.Select(store => JsonValue.Create(store))]);
            }

            if (parsed.GetValue(all))
            {
                body["all_stores"] = true;
            }

            if (parsed.GetValue(some))
            {
                body["all_stores_must_succeed"] = false;
            }

            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            using var api = ConnectionOptions.ImageApiOf(parsed);
            var found = await registry.FindImageAsync(parsed.GetValue(image)!, cancellationToken);
            if (source is not null)
            {
                await StageAsync(api, found.Id, source, cancellationToken);
            }

            await api.SendJsonAsync(
                HttpMethod.Post, $"v2/images/{found.Id}/import", body.ToJsonString(), cancellationToken);
            var job = await FindJobAsync(registry, api, found.Id, cancellationToken);
            if (parsed.GetValue(wait))
            {
                job = await JobsCommand.WaitAsync(registry, new GetJobRequest { Id = job.Id }, cancellationToken);
            }

            JobOutput.Write(job, output.IsJson(parsed));
            return job.Status is "failed" or "cancelled" ? 1 : 0;
        });
        return command;
    }

    private static JsonObject Method(
        string? uri, FileInfo? file, string[] copies, string? region, string? remote, string? which)
    {
        var given = new[] { uri is not null, file is not null, copies.Length > 0, region is not null };
        if (given.Count(isGiven => isGiven) != 1 || region is null != remote is null || (which is not null && region is null))
        {
            throw new CommandException(
                "say where from, once: --uri URL, --file FILE, --copy-to STORE, or --from-region REGION --image-id ID.");
        }

        if (uri is not null)
        {
            return new JsonObject { ["name"] = "web-download", ["uri"] = uri };
        }

        if (region is null)
        {
            return new JsonObject { ["name"] = file is not null ? "glance-direct" : "copy-image" };
        }

        var method = new JsonObject
        {
            ["name"] = "glance-download", ["glance_region"] = region, ["glance_image_id"] = remote,
        };
        if (which is not null)
        {
            method["glance_service_interface"] = which;
        }

        return method;
    }

    private static async Task StageAsync(
        ImageApi api, string imageId, FileInfo file, CancellationToken cancellationToken)
    {
        // Read twice: the registry must know the digest before it takes the last byte.
        await using var bytes = file.OpenRead();
        var sha512 = Convert.ToHexStringLower(await SHA512.HashDataAsync(bytes, cancellationToken));
        bytes.Position = 0;
        using var bar = new ProgressBar("stage", bytes.Length);
        await using var counted = new CountedStream(bytes, bar.Add);
        await api.SendBytesAsync($"v2/images/{imageId}/stage", counted, bytes.Length, sha512, cancellationToken);
    }

    // The last one that was asked for.
    private static async Task<Job> FindJobAsync(
        Connection registry, ImageApi api, string imageId, CancellationToken cancellationToken)
    {
        var tasks = await api.GetAsync($"v2/images/{imageId}/tasks", cancellationToken);
        var id = tasks.GetProperty("tasks").EnumerateArray().First().GetProperty("id").GetString()!;
        return await registry.Jobs.GetAsync(
            new GetJobRequest { Id = id }, registry.Headers, cancellationToken: cancellationToken);
    }

    private static string[] Split(string[]? lists) =>
        [.. (lists ?? []).SelectMany(list => list.Split(
            ',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))];
}
