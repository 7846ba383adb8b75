using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace Registry.Api.Cli;

/// <summary>registry tasks: the imports, as the Image API tells of them.</summary>
internal static class TasksCommand
{
    private const int Limit = 100;

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var command = new Command("tasks", """
            List tasks, newest first, and look at one. A task is an import's job under the same id; administrators see those
            of all projects, and others those of an image (--image).
            """);
        command.Add(CreateShow());
        var list = new Command("list", "List tasks, newest first.");
        AddList(list);
        command.Add(list);
        AddList(command);
        return command;
    }

    private static void AddList(Command command)
    {
        var image = new Option<string?>("--image") { Description = "Only tasks of this image, by its id" };
        var status = new Option<string?>("--status")
        {
            Description = "Only tasks in this status: pending, processing, success, failure",
        };
        var type = new Option<string?>("--type")
        {
            Description = "Only tasks of this type: import, api_image_import, location_import",
        };
        var limit = new Option<int>("--limit")
        {
            Description = "At most so many",
            DefaultValueFactory = _ => Limit,
        };
        command.Add(image);
        command.Add(status);
        command.Add(type);
        command.Add(limit);
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var api = ConnectionOptions.ImageApiOf(parsed);
            var (ofStatus, ofType) = (parsed.GetValue(status), parsed.GetValue(type));
            var most = Math.Max(0, parsed.GetValue(limit));
            var path = parsed.GetValue(image) is { } id
                ? $"v2/images/{Uri.EscapeDataString(id)}/tasks"
                : string.Create(CultureInfo.InvariantCulture, $"v2/tasks?limit={Math.Min(most, Limit)}")
                    + Filter("status", ofStatus) + Filter("type", ofType);
            List<JsonElement> tasks = [];
            await foreach (var task in api.ListAsync(path, "tasks", cancellationToken))
            {
                if (tasks.Count == most)
                {
                    break;
                }

                if ((ofStatus is null || Text(task, "status") == ofStatus) && (ofType is null || Text(task, "type") == ofType))
                {
                    tasks.Add(task);
                }
            }

            WriteList(tasks, output.IsJson(parsed));
            return 0;
        });
    }

    private static Command CreateShow()
    {
        var id = new Argument<string>("TASK") { Description = "The task's id" };
        var command = new Command("show", "Show a task: what it was asked, how far it is, why it failed.") { id };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var api = ConnectionOptions.ImageApiOf(parsed);
            var task = await api.GetAsync(
                $"v2/tasks/{Uri.EscapeDataString(parsed.GetValue(id)!)}", cancellationToken);
            if (output.IsJson(parsed))
            {
                OutputOption.WriteJson(task.WriteTo);
                return 0;
            }

            foreach (var member in task.EnumerateObject().Where(member => member.Name is not ("self" or "schema")))
            {
                Terminal.WriteLine($"{member.Name,-18}{member.Value}");
            }

            return 0;
        });
        return command;
    }

    private static void WriteList(List<JsonElement> tasks, bool asJson)
    {
        if (asJson)
        {
            OutputOption.WriteJson(json =>
            {
                json.WriteStartArray();
                tasks.ForEach(task => task.WriteTo(json));
                json.WriteEndArray();
            });
            return;
        }

        TextTable.Write(
            ["ID", "TYPE", "STATUS", "OWNER", "CREATED", "UPDATED"],
            tasks.Select(task => new[]
            {
                Text(task, "id"), Text(task, "type"), Text(task, "status"), Text(task, "owner"), Text(task, "created_at"),
                Text(task, "updated_at"),
            }));
    }

    private static string Filter(string name, string? value) =>
        value is null ? "" : $"&{name}={Uri.EscapeDataString(value)}";

    private static string Text(JsonElement task, string name) =>
        task.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString()! : "-";
}
