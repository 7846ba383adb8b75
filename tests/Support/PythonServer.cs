using System.Diagnostics;
using System.Text;
using Xunit;

namespace Registry.Support;

/// <summary>A server of OpenStack's, as Debian packages it, that runs for tests.</summary>
public sealed class PythonServer : IAsyncDisposable
{
    /// <summary>Debian's interpreter: the packages are nobody else's.</summary>
    public const string Interpreter = "/usr/bin/python3";

    /// <summary>Where Debian's Python packages are.</summary>
    public const string Packages = "/usr/lib/python3/dist-packages";

    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(5);

    private readonly Process _process;
    private readonly StringBuilder _log = new();

    private PythonServer(Process process) => _process = process;

    /// <summary>Process id of the first of its processes.</summary>
    public int Id => _process.Id;

    /// <summary>What it has written so far.</summary>
    public string Log
    {
        get
        {
            lock (_log)
                return _log.ToString();
        }
    }

    /// <summary>Skips the test where a part is not installed; fails it where tests must not be skipped.</summary>
    /// <param name="parts">Packages, each with whether it is there.</param>
    public static void Require(params (string Package, bool IsThere)[] parts)
    {
        var missing = parts.FirstOrDefault(part => !part.IsThere).Package;
        Assert.False(
            missing is not null && ExternalTool.IsStrict, $"{missing} is not installed, and CI=true forbids to skip.");
        Assert.SkipWhen(missing is not null, $"{missing} is not installed.");
    }

    /// <summary>Whether a file or directory of a Python package is installed.</summary>
    public static bool Has(string file) => Path.Exists(Path.Combine(Packages, file));

    /// <summary>Runs the entry point of a module to its end, and requires that it ends well.</summary>
    /// <param name="module">The module, which has a <c>main</c>.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="cancellationToken">Kills it.</param>
    public static async Task CallAsync(
        string module, IEnumerable<string> arguments, CancellationToken cancellationToken)
    {
        var result = await ExternalTool.At(Interpreter).RunAsync([.. Entry(module), .. arguments], cancellationToken);
        Assert.True(result.ExitCode == 0, result.Output + result.Error);
    }

    /// <summary>Arguments of the interpreter that run the entry point of a module.</summary>
    public static string[] Entry(string module) => ["-c", $"from {module} import main; main()"];

    /// <summary>Starts a program and waits until it answers requests.</summary>
    /// <param name="program">The program.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="answers">An address that it answers once it is ready, with whatever status.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    public static async Task<PythonServer> StartAsync(
        string program, IEnumerable<string> arguments, Uri answers, CancellationToken cancellationToken)
    {
        var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var server = new PythonServer(process);
        process.OutputDataReceived += server.Note;
        process.ErrorDataReceived += server.Note;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        try
        {
            await server.WaitAsync(answers, cancellationToken);
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    private async Task WaitAsync(Uri answers, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(StartLimit);
        using var client = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        while (!_process.HasExited)
        {
            try
            {
                using var answer = await client.GetAsync(answers, limit.Token);
                return;
            }
            catch (HttpRequestException refused) when (refused.HttpRequestError == HttpRequestError.ConnectionError)
            {
                // It does not listen yet.
            }

            await Task.Delay(100, limit.Token);
        }

        Assert.Fail("It ended: " + Log);
    }

    private void Note(object sender, DataReceivedEventArgs line)
    {
        lock (_log)
            _log.AppendLine(line.Data);
    }
}
