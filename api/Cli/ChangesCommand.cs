using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Grpc.Core;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>registry changes: where an image's disk differs from another's.</summary>
internal static class ChangesCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var image = new Argument<string>("IMAGE") { Description = "Id or name" };
        var since = new Option<string>("--since")
        {
            Description = "The image to compare with, by id or name",
            Required = true,
        };
        var command = new Command("changes", """
            List in which blocks of 64 KiB an image's disk differs from that of another image.

            Content counts, not how it is stored. A copy of the older disk becomes the newer one when it is given the newer
            one's size, zeroed where the list says so, and written where it says data.
              registry changes debian-patched --since debian
            """) { image, since };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            var newer = await registry.FindImageAsync(parsed.GetValue(image)!, cancellationToken);
            var older = await registry.FindImageAsync(parsed.GetValue(since)!, cancellationToken);
            using var call = registry.Provisioning.GetChanges(
                new GetChangesRequest { ImageId = newer.Id, SinceImageId = older.Id }, registry.Headers,
                cancellationToken: cancellationToken);
            var messages = call.ResponseStream.ReadAllAsync(cancellationToken);
            await (output.IsJson(parsed) ? WriteJsonAsync(messages) : WriteTextAsync(messages));
            return 0;
        });
        return command;
    }

    private static async Task WriteTextAsync(IAsyncEnumerable<ChangesResponse> messages)
    {
        var (data, zero) = (0L, 0L);
        Console.WriteLine($"{"START",-18}{"LENGTH",-18}NOW");
        await foreach (var message in messages)
        {
            foreach (var extent in message.Extents)
            {
                Console.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{extent.Start,-18}{extent.Length,-18}{(extent.Zero ? "zero" : "data")}"));
                (data, zero) = extent.Zero ? (data, zero + extent.Length) : (data + extent.Length, zero);
            }
        }

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{data} bytes of data, {zero} bytes of zeroes"));
    }

    private static async Task WriteJsonAsync(IAsyncEnumerable<ChangesResponse> messages)
    {
        await using var stream = Console.OpenStandardOutput();
        await using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        await foreach (var message in messages)
        {
            if (message.Info is { } info)
            {
                json.WriteNumber("virtual_size", info.VirtualSize);
                json.WriteStartArray("changes");
            }

            foreach (var extent in message.Extents)
            {
                json.WriteStartObject();
                json.WriteNumber("start", extent.Start);
                json.WriteNumber("length", extent.Length);
                json.WriteBoolean("zero", extent.Zero);
                json.WriteEndObject();
            }

            await json.FlushAsync();
        }

        json.WriteEndArray();
        json.WriteEndObject();
        await json.FlushAsync();
        Console.WriteLine();
    }
}
