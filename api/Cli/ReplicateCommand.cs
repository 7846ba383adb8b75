using System.CommandLine;
using System.Text.Json;

namespace Registry.Api.Cli;

/// <summary>registry replicate.</summary>
internal static class ReplicateCommand
{
    private const int SomeLeft = 2;

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var images = new Argument<string[]>("IMAGE")
        {
            Description = "Ids or names; all images that the source shows when there are none",
            Arity = ArgumentArity.ZeroOrMore,
        };
        var from = new Option<string>("--from") { Description = "Address of the image service to copy from", Required = true };
        var to = new Option<string>("--to") { Description = "Address of the image service to copy to", Required = true };
        var fromToken = new Option<string?>("--from-token") { Description = "Identity token there [--token, else OS_TOKEN]" };
        var toToken = new Option<string?>("--to-token") { Description = "Identity token there [--token, else OS_TOKEN]" };
        var owner = new Option<bool>("--keep-owner") { Description = "Images keep their owners; for administrators" };
        var rehearsal = new Option<bool>("--dry-run") { Description = "Only compare: print what would be done" };
        var command = new Command("replicate", """
            Copy images from one image service to another, each of them a registry or Glance: ids, metadata, bytes and members.

            Every byte is compared with the source's hash, and the target's hash with the source's. Images that are there
            are passed over, but for metadata that is not the same; so it can be run again, and goes on after a failure.
            Nothing is changed on the source or removed from the target.

            Members are the projects of the same ids, as far as the source shows them and the target lets them be added; they
            are pending there: whether a project has accepted or rejected an image only that project itself can say.
              registry replicate --from http://glance:9292 --to http://127.0.0.1:9292 --dry-run

            Exit code 0: the target has everything, 2: it has not (and the output says why), 1: it could not be done.
            """)
        {
            images, from, to, fromToken, toToken, owner, rehearsal,
        };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var usual = ConnectionOptions.TokenOf(parsed);
            using var source = new ImageApi(parsed.GetValue(from)!, parsed.GetValue(fromToken) ?? usual);
            using var target = new ImageApi(parsed.GetValue(to)!, parsed.GetValue(toToken) ?? usual);
            var (isRehearsal, isJson) = (parsed.GetValue(rehearsal), output.IsJson(parsed));
            using var bar = new ProgressBar("replicate", 0);
            var replicator = new Replicator(
                source, target, isRehearsal, parsed.GetValue(owner), bytes => bar.Set(bytes, 0));
            List<ReplicaLine> lines = [];
            await foreach (var line in replicator.RunAsync(parsed.GetValue(images) ?? [], cancellationToken))
            {
                lines.Add(line);
                if (!isJson)
                {
                    Terminal.WriteLine(Human(line));
                }
            }

            Summarise(lines, isRehearsal, isJson);
            return lines.Exists(line => line.Outcome == Replicated.Left
                || (isRehearsal && line.Outcome is Replicated.Copied or Replicated.Changed)) ? SomeLeft : 0;
        });
        return command;
    }

    private static string Human(ReplicaLine line)
    {
        var what = line switch
        {
            { Reason: { } reason } => reason,
            { Outcome: Replicated.Copied } => Sizes.Show(line.Bytes),
            _ => string.Join(", ", line.Differences),
        };
        return $"{Word(line.Outcome),-8}  {line.Id}  {line.Name ?? "-"}{(what.Length > 0 ? "  " + what : "")}";
    }

    private static void Summarise(List<ReplicaLine> lines, bool isRehearsal, bool isJson)
    {
        if (isJson)
        {
            OutputOption.WriteJson(json =>
            {
                json.WriteStartObject();
                json.WriteBoolean("dry_run", isRehearsal);
                json.WriteNumber("bytes", lines.Sum(line => line.Bytes));
                json.WriteStartArray("images");
                lines.ForEach(line => WriteJson(json, line));
                json.WriteEndArray();
                json.WriteEndObject();
            });
            return;
        }

        var counts = lines.GroupBy(line => line.Outcome).OrderBy(group => group.Key)
            .Select(group => $"{group.Count()} {Word(group.Key)}");
        Console.WriteLine(
            $"{(isRehearsal ? "would be: " : "")}{(lines.Count > 0 ? string.Join(", ", counts) : "no images")}; "
            + Sizes.Show(lines.Sum(line => line.Bytes)));
    }

    private static void WriteJson(Utf8JsonWriter json, ReplicaLine line)
    {
        json.WriteStartObject();
        json.WriteString("id", line.Id);
        json.WriteString("name", line.Name);
        json.WriteString("outcome", Word(line.Outcome));
        json.WriteNumber("bytes", line.Bytes);
        json.WriteStartArray("differences");
        foreach (var name in line.Differences)
        {
            json.WriteStringValue(name);
        }

        json.WriteEndArray();
        json.WriteString("reason", line.Reason);
        json.WriteEndObject();
    }

    private static string Word(Replicated outcome) => outcome.ToString().ToLowerInvariant();
}
