using System.Text;
using Registry.Api.Cli;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>The command line, run inside this process: a start of the executable costs more than most verbs.</summary>
internal static class RegistryCommandLine
{
    private static readonly TempDirectory State = new();
    private static readonly RoutedWriter Output = new(Console.Out);
    private static readonly RoutedWriter Error = new(Console.Error);

    static RegistryCommandLine()
    {
        Environment.SetEnvironmentVariable("XDG_STATE_HOME", State.Path); // not the key of the user who runs the tests
        AppDomain.CurrentDomain.ProcessExit += (_, _) => State.Dispose();
        Console.SetOut(Output);
        Console.SetError(Error);
    }

    /// <summary>Where its runs keep their state.</summary>
    public static string StateHome => State.Path;

    /// <summary>Runs a command line and catches what it prints.</summary>
    public static async Task<ToolResult> RunAsync(params string[] arguments)
    {
        var (output, error) = (Output.Catch(), Error.Catch());
        var code = await RegistryCommand.RunAsync(arguments);
        return new ToolResult(code, output.ToString(), error.ToString());
    }

    /// <summary>Writes to whoever catches in this flow of control; to the console where nobody does.</summary>
    private sealed class RoutedWriter(TextWriter console) : TextWriter
    {
        private readonly AsyncLocal<StringWriter?> _target = new();

        public override Encoding Encoding => console.Encoding;

        private TextWriter Target => _target.Value ?? console;

        public StringWriter Catch() => _target.Value = new StringWriter();

        public override void Write(char value) => Target.Write(value);

        public override void Write(string? value) => Target.Write(value);

        public override void Write(char[] buffer, int index, int count) => Target.Write(buffer, index, count);

        public override void Flush() => Target.Flush();
    }
}
