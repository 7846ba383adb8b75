using System.CommandLine;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;

namespace Registry.Api.Cli;

/// <summary>--output human|json.</summary>
internal sealed class OutputOption
{
    // Letters of all languages are shown as they are.
    private static readonly JsonWriterOptions JsonOptions = new()
    {
        Indented = true,
        IndentSize = 4,
        Encoder = JavaScriptEncoder.Create(UnicodeRanges.All),
    };

    private readonly Option<string> _option;

    /// <summary>Adds the option to a verb.</summary>
    public OutputOption(Command command)
    {
        _option = new Option<string>("--output")
        {
            Description = "Form of the output",
            DefaultValueFactory = _ => "human",
        };
        _option.AcceptOnlyFromAmong("human", "json");
        command.Add(_option);
    }

    /// <summary>Whether JSON was asked for.</summary>
    public bool IsJson(ParseResult parsed) => parsed.GetValue(_option) == "json";

    /// <summary>Prints JSON on standard output.</summary>
    public static void WriteJson(Action<Utf8JsonWriter> write)
    {
        using var text = new MemoryStream();
        using (var json = new Utf8JsonWriter(text, JsonOptions))
        {
            write(json);
        }

        Console.WriteLine(Encoding.UTF8.GetString(text.GetBuffer(), 0, (int)text.Length));
    }
}
