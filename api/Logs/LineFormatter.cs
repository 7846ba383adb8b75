using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;
using Microsoft.Extensions.Options;

namespace Registry.Api.Logs;

/// <summary>Lines of the log as JSON, without the directories where bytes are, which errors of the file system name: who
/// may read logs need not know. It hides no secrets; those no message may hold in the first place.</summary>
internal sealed class LineFormatter : ConsoleFormatter
{
    /// <summary>Its name among the formatters.</summary>
    public const string FormatterName = "registry";

    private readonly IServiceProvider _services;
    private readonly IReadOnlyList<(string Text, string Word)> _hidden;
    private ConsoleFormatter? _json;

    /// <summary>Finds out what is hidden.</summary>
    public LineFormatter(IServiceProvider services, IOptions<RegistryOptions> options)
        : base(FormatterName)
    {
        _services = services;
        _hidden =
        [
            .. Directories(options.Value).Where(directory => directory.Path.Length > 1)
                .OrderByDescending(directory => directory.Path.Length)
                .Select(directory => (JsonEncodedText.Encode(directory.Path).ToString(), directory.Word)),
        ];
    }

    /// <inheritdoc/>
    public override void Write<TState>(
        in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        _json ??= _services.GetServices<ConsoleFormatter>().First(f => f.Name == ConsoleFormatterNames.Json);
        using var line = new StringWriter();
        _json.Write(logEntry, scopeProvider, line);
        var text = line.ToString();
        foreach (var (hidden, word) in _hidden)
        {
            text = text.Replace(hidden, word, StringComparison.Ordinal);
        }

        textWriter.Write(text);
    }

    private static IEnumerable<(string Path, string Word)> Directories(RegistryOptions options) =>
        options.Stores.Where(store => store.Path.Length > 0)
            .Select(store => (Path.GetFullPath(store.Path), $"(store {store.Id})"))
            .Append((Path.GetFullPath(options.DataDirectory), "(data directory)"));
}
