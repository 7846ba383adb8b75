using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Registry.Support;

namespace Registry.Api.Tests.Peers;

/// <summary>What a command answered, in a form in which the answers of two services can be compared: without what no two
/// services have in common, and without order where there is none.</summary>
public static partial class PeerAnswer
{
    private const string Separator = " | ";

    private static readonly JsonSerializerOptions Indented = new()
    {
        WriteIndented = true,
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>The form.</summary>
    public static string Normal(ToolResult result, Peer peer) =>
        $"exit {result.ExitCode}\n{NormalOutput(result.Output, peer)}\n{Masked(result.Error.Trim(), peer)}";

    /// <summary>The value of a field in an answer that is JSON, or one of the clients' tables.</summary>
    public static string Field(ToolResult result, string field)
    {
        if (Parsed(result.Output) is JsonObject json && json[field] is { } value)
        {
            return value.ToString();
        }

        var row = result.Output.Split('\n').Select(Cells).FirstOrDefault(cells => cells is [var name, _] && name == field);
        return row?[1] ?? throw new InvalidOperationException($"No {field} in\n{result.Output}{result.Error}");
    }

    /// <summary>What came of each call of a script, why it differs from the other service's if it does, and what it has then.
    /// </summary>
    public static Dictionary<string, (string Answer, string? Reason, string Expected)> Calls(ToolResult result, Peer peer)
    {
        var calls = new Dictionary<string, (string, string?, string)>();
        foreach (var call in (Parsed(result.Output) as JsonArray ?? []).Select(call => call!.AsObject()))
        {
            var (name, reason, expected) = ((string)call["call"]!, (string?)call["differs"], (string?)call["ours"]);
            call.Remove("differs");
            call.Remove("ours");
            calls.Add(name, (Masked(Ordered(call).ToJsonString(Indented), peer), reason, expected ?? ""));
        }

        return calls;
    }

    /// <summary>An answer whose lines are in the order of the alphabet.</summary>
    public static string Unordered(string normal) =>
        string.Join('\n', normal.Split('\n').Select(line => line.TrimEnd(',')).Order(StringComparer.Ordinal));

    /// <summary>The first column of a table.</summary>
    public static string Names(ToolResult result) =>
        $"exit {result.ExitCode}\n" + string.Join(
            '\n', result.Output.Split('\n').Select(Cells).Select(cells => cells?[0] ?? "").Order(StringComparer.Ordinal));

    /// <summary>How a command ended, without its words: the exit code and the status of the service's answer.</summary>
    public static string Status(ToolResult result) =>
        $"{result.ExitCode} {HttpStatus().Match(result.Error + result.Output).Value}";

    /// <summary>Whether a command was refused: by its exit code or, as those of the cache end well, by what it says.</summary>
    public static bool IsRefusal(ToolResult result) =>
        result.ExitCode != 0 || HttpStatus().IsMatch(result.Error + result.Output);

    private static string NormalOutput(string output, Peer peer)
    {
        if (Parsed(output) is { } json)
        {
            return Masked(Ordered(json).ToJsonString(Indented), peer);
        }

        // Tables are as wide as their cells, which masks change; and a cell that is too wide goes on in the next line.
        var lines = new List<string>();
        foreach (var line in output.Split('\n').Where(line => !line.All(c => "+-".Contains(c, StringComparison.Ordinal))))
        {
            if (Cells(line) is not { } cells)
            {
                lines.Add(line.TrimEnd());
            }
            else if (cells is ["", var more] && lines.Count > 0)
            {
                lines[^1] += more;
            }
            else
            {
                lines.Add(string.Join(Separator, cells));
            }
        }

        return Masked(string.Join('\n', lines.Select(NormalCells)), peer);
    }

    private static string NormalCells(string line) => string.Join(Separator, line.Split(Separator).Select(NormalCell));

    // JSON, or a list of words as Python writes it.
    private static string NormalCell(string cell) => Parsed(cell) is { } json ? Ordered(json).ToJsonString()
        : cell.StartsWith("['", StringComparison.Ordinal) ? string.Join(", ", cell.Trim('[', ']').Split(", ").Order())
        : cell;

    private static string[]? Cells(string line) =>
        line.StartsWith("| ", StringComparison.Ordinal) && line.EndsWith(" |", StringComparison.Ordinal)
            ? [.. line[1..^1].Split(Separator).Select(cell => cell.Trim())]
            : null;

    private static JsonNode? Parsed(string text)
    {
        if (text.Length == 0 || !"[{".Contains(text[0], StringComparison.Ordinal))
        {
            return null;
        }

        try
        {
            return JsonNode.Parse(text);
        }
        catch (JsonException)
        {
            return null; // it only looks like JSON
        }
    }

    // Names of objects have no order, nor have lists of words: tags, stores, names of metadata definitions.
    private static JsonNode Ordered(JsonNode node) => node switch
    {
        JsonObject json => new JsonObject(json.OrderBy(pair => pair.Key, StringComparer.Ordinal)
            .Select(pair => KeyValuePair.Create(pair.Key, pair.Value is null ? null : Ordered(pair.Value)))),
        JsonArray list when list.All(item => item?.GetValueKind() == JsonValueKind.String) =>
            new JsonArray([.. list.Select(item => item!.GetValue<string>()).Order(StringComparer.Ordinal)
                .Select(word => JsonValue.Create(word))]),
        JsonArray list when list.All(item => item is JsonObject located && located.ContainsKey("url")) =>
            new JsonArray([.. list.Select(item => Ordered(item!)).OrderBy(item => item.ToJsonString(), StringComparer.Ordinal)]),
        JsonArray list => new JsonArray([.. list.Select(item => item is null ? null : Ordered(item))]),
        _ => node.DeepClone(),
    };

    private static string Masked(string text, Peer peer)
    {
        // The longest first: an address may begin with another.
        foreach (var (word, value) in peer.Words.OrderByDescending(word => word.Value.Length))
        {
            text = text.Replace(value, $"{{{word}}}", StringComparison.Ordinal);
        }

        // Characters that one service writes as it is and the other by its number; and the SDK, which tells the lines of
        // an error in the order of a hash table.
        text = WebUtility.HtmlDecode(text);
        text = ErrorLines().Replace(
            text, lines => lines.Groups[1].Value + string.Join(
                " / ", lines.Groups[2].Value.Split(": ").Select(line => line.Trim(' ', ':')).Order(StringComparer.Ordinal)));
        text = StoreFile().Replace(text, "<file>");
        text = ImportLock().Replace(text, "");
        text = text.Replace("cheap,fast", "fast,cheap", StringComparison.Ordinal); // like the locations
        text = RequestId().Replace(text, "<request>");
        text = Id().Replace(text, "<id>");
        text = Micros().Replace(text, ".<micros>");
        text = Time().Replace(text, "<time>");
        return text;
    }

    [GeneratedRegex(@"\b[45]\d\d\b")]
    private static partial Regex HttpStatus();

    [GeneratedRegex(@"(Exception: \d+: .*? for url: [^,]+, )(.+)")]
    private static partial Regex ErrorLines();

    // Where a service keeps an image's bytes.
    [GeneratedRegex(@"file:///[^""\s|,']*/(?=fast/|cheap/)(fast|cheap)/[^""\s|,']*")]
    private static partial Regex StoreFile();

    // Glance takes it away a moment after the image is active.
    [GeneratedRegex(@"os_glance_import_task \| .*\n")]
    private static partial Regex ImportLock();

    [GeneratedRegex("req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")]
    private static partial Regex RequestId();

    [GeneratedRegex("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")]
    private static partial Regex Id();

    [GeneratedRegex(@"(?<=\d\d:\d\d:\d\d)\.\d{6}")]
    private static partial Regex Micros();

    [GeneratedRegex(@"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")]
    private static partial Regex Time();
}
