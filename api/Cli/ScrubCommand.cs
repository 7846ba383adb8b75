using System.CommandLine;
using System.Text.Json;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>registry scrub.</summary>
internal static class ScrubCommand
{
    private const int Found = 2;

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var store = new Option<string>("--store")
        {
            Description = "Only this store",
            DefaultValueFactory = _ => "",
        };
        var quick = new Option<bool>("--no-data")
        {
            Description = "Only look whether blobs are there; read no data",
        };
        var apply = new Option<bool>("--apply")
        {
            Description = "Remove blobs that nothing refers to; without it nothing is changed",
        };
        var command = new Command(
            "scrub",
            "Compare the stores with the database, and every byte with its digest. Exit code 0: all is well, 2: " +
            "something was found, 1: it could not be done.")
        {
            store, quick, apply,
        };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            var job = await registry.Jobs.ScrubAsync(
                new ScrubStoresRequest
                {
                    Store = parsed.GetValue(store), SkipData = parsed.GetValue(quick), Apply = parsed.GetValue(apply),
                },
                registry.Headers,
                cancellationToken: cancellationToken);
            job = await JobsCommand.WaitAsync(registry, new GetJobRequest { Id = job.Id }, cancellationToken);
            if (job.Status != "succeeded")
            {
                throw new CommandException($"{job.Message} ({job.Reason})");
            }

            using var result = JsonDocument.Parse(job.Result);
            if (output.IsJson(parsed))
            {
                OutputOption.WriteJson(json => result.RootElement.WriteTo(json));
            }
            else
            {
                Write(result.RootElement);
            }

            return result.RootElement.GetProperty("findings").GetArrayLength() == 0 ? 0 : Found;
        });
        return command;
    }

    private static void Write(JsonElement result)
    {
        foreach (var finding in result.GetProperty("findings").EnumerateArray())
        {
            string Text(string name) => finding.GetProperty(name).ToString();
            var removed = finding.GetProperty("isRemoved").GetBoolean() ? "; removed" : "";
            Terminal.WriteLine(
                $"{Text("problem")}: {Text("imageId")}/{Text("generation")} in store {Text("storeId")}: " +
                $"{Text("detail")}{removed}");
        }

        var counts = result.GetProperty("counts").EnumerateObject().Select(c => $"{c.Value} {c.Name}").ToList();
        Console.WriteLine(
            $"{result.GetProperty("blobs")} blobs and {Sizes.Show(result.GetProperty("bytes").GetInt64())} looked at; " +
            $"{(counts.Count == 0 ? "all is well" : string.Join(", ", counts))}.");
    }
}
