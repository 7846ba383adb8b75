using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using Xunit;

namespace Registry.Support;

/// <summary>A registry that really runs: the built executable, on ports and a data directory of its own.</summary>
public sealed partial class RegistryProcess : IAsyncDisposable
{
    private const int Terminate = 15;
    private const int Continue = 18;
    private const int Stop = 19;
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(35);
    private readonly Process _process;
    private readonly StringBuilder _log = new();
    private readonly TaskCompletionSource _listening = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private RegistryProcess(Process process)
    {
        _process = process;
        Client = new HttpClient { Timeout = TimeSpan.FromMinutes(10) };
    }

    /// <summary>Where it answers.</summary>
    public Uri Url { get; private set; } = null!;

    /// <summary>Where it answers gRPC.</summary>
    public Uri Grpc { get; private set; } = null!;

    /// <summary>Its metrics page.</summary>
    public Uri Metrics { get; private set; } = null!;

    /// <summary>A client of it.</summary>
    public HttpClient Client { get; }

    /// <summary>Process id.</summary>
    public int Id => _process.Id;

    /// <summary>Whether it runs.</summary>
    public bool IsRunning => !_process.HasExited;

    /// <summary>A number that the kernel knows of it: VmHWM, its largest resident memory in KiB; Threads.</summary>
    public long Status(string name) => long.Parse(
        File.ReadLines($"/proc/{Id}/status").First(line => line.StartsWith(name + ":", StringComparison.Ordinal))
            .Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1],
        CultureInfo.InvariantCulture);

    /// <summary>What it has written so far.</summary>
    public string Log
    {
        get
        {
            lock (_log)
                return _log.ToString();
        }
    }

    /// <summary>Starts a registry and waits until it is healthy.</summary>
    /// <param name="dataDirectory">Where it keeps everything.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    /// <param name="settings">Further settings as environment variables: <c>Registry__Auth__Kind</c>.</param>
    /// <param name="wrapper">A program and its arguments that run it, and become it; null for none.</param>
    public static async Task<RegistryProcess> StartAsync(
        string dataDirectory, CancellationToken cancellationToken, IReadOnlyDictionary<string, string>? settings = null,
        IReadOnlyList<string>? wrapper = null)
    {
        string[] command = [.. wrapper ?? [], Executable, "serve"];
        var start = new ProcessStartInfo(command[0], command.Skip(1))
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = dataDirectory,
        };
        start.Environment["Registry__DataDirectory"] = dataDirectory;
        start.Environment["Registry__Endpoints__Http"] = "http://127.0.0.1:0";
        start.Environment["Registry__Endpoints__Grpc"] = "http://127.0.0.1:0";
        start.Environment["Registry__Endpoints__Metrics"] = "http://127.0.0.1:0";
        foreach (var (name, value) in settings ?? new Dictionary<string, string>())
            start.Environment[name] = value;

        var process = Process.Start(start) ?? throw new InvalidOperationException($"{Executable} did not start.");
        var registry = new RegistryProcess(process);
        process.OutputDataReceived += registry.Note;
        process.ErrorDataReceived += registry.Note;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        try
        {
            await registry.WaitUntilHealthyAsync(cancellationToken);
            return registry;
        }
        catch
        {
            await registry.KillAsync();
            throw;
        }
    }

    /// <summary>Runs an operator's verb on a registry's database, and requires that it ends well.</summary>
    /// <param name="verb">The verb after <c>db</c>: upgrade.</param>
    /// <param name="settings">The registry's settings as environment variables.</param>
    /// <param name="cancellationToken">Kills it.</param>
    public static async Task RunDbAsync(
        string verb, IReadOnlyDictionary<string, string> settings, CancellationToken cancellationToken)
    {
        var done = await ExternalTool.At(Executable).RunAsync(
            ["db", verb], cancellationToken, settings.ToDictionary(s => s.Key, string? (s) => s.Value));
        Assert.True(done.ExitCode == 0, done.Output + done.Error);
    }

    /// <summary>The server as it was built with these tests, or the program that REGISTRY_PROGRAM names: a published one.</summary>
    public static string Executable { get; } = Environment.GetEnvironmentVariable("REGISTRY_PROGRAM")
        ?? RepositoryTree.File("artifacts", "bin", "Registry.Api", "release", "registry");

    /// <summary>Ends it as an operator would, and requires that it ends well.</summary>
    public async Task StopAsync()
    {
        Assert.Equal(0, SendSignal(_process.Id, Terminate));
        using var limit = new CancellationTokenSource(StopLimit);
        await _process.WaitForExitAsync(limit.Token);
        Assert.True(_process.ExitCode == 0, $"The registry ended with code {_process.ExitCode}:\n{Log}");
    }

    /// <summary>Stops it in the middle of whatever it does, as a machine does that swaps or is moved.</summary>
    public void Pause() => Assert.Equal(0, SendSignal(_process.Id, Stop));

    /// <summary>Lets it continue where it was stopped.</summary>
    public void Resume() => Assert.Equal(0, SendSignal(_process.Id, Continue));

    /// <summary>Ends it as a power cut would.</summary>
    public async Task KillAsync()
    {
        if (!_process.HasExited)
            _process.Kill();
        await _process.WaitForExitAsync();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await KillAsync();
        _process.Dispose();
    }

    private async Task WaitUntilHealthyAsync(CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(StartLimit);
        await Task.WhenAny(_listening.Task, _process.WaitForExitAsync(limit.Token));
        limit.Token.ThrowIfCancellationRequested();
        while (!_process.HasExited)
        {
            try
            {
                using var answer = await Client.GetAsync("/healthcheck", limit.Token);
                if (answer.StatusCode == HttpStatusCode.OK)
                    return;
            }
            catch (HttpRequestException broken) when (broken.HttpRequestError == HttpRequestError.ConnectionError)
            {
                // It has ended, or is about to.
            }

            await Task.Delay(50, limit.Token);
        }

        throw new InvalidOperationException(
            $"The registry ended with code {_process.ExitCode} before it was healthy:\n{Log}");
    }

    private void Note(object sender, DataReceivedEventArgs line)
    {
        lock (_log)
            _log.AppendLine(line.Data);

        // The kernel chose the ports: nobody can have taken them in between.
        if (!_listening.Task.IsCompleted && ReadyLine().Match(line.Data ?? "") is { Success: true } ready)
        {
            Url = new Uri(ready.Groups[1].Value);
            Grpc = new Uri(ready.Groups[2].Value);
            Metrics = new Uri(new Uri(ready.Groups[3].Value), "/metrics");
            Client.BaseAddress = Url;
            _listening.SetResult();
        }
    }

    [GeneratedRegex(@"""ready: (http://\S+), (http://\S+), (http://\S+)(?:, nbd://\S+)? \(HTTP, gRPC, metrics")]
    private static partial Regex ReadyLine();

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int SendSignal(int processId, int signal);
}
