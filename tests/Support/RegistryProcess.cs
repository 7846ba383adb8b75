using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Xunit;

namespace Registry.Support;

/// <summary>A registry that really runs: the built executable, on ports and a data directory of its own.</summary>
public sealed partial class RegistryProcess : IAsyncDisposable
{
    private const int Terminate = 15;
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(35);
    private readonly Process _process;
    private readonly StringBuilder _log = new();

    private RegistryProcess(Process process, Uri url, Uri grpc, Uri metrics)
    {
        _process = process;
        Url = url;
        Grpc = grpc;
        Metrics = metrics;
        Client = new HttpClient { BaseAddress = url, Timeout = TimeSpan.FromMinutes(10) };
    }

    /// <summary>Where it answers.</summary>
    public Uri Url { get; }

    /// <summary>Where it answers gRPC.</summary>
    public Uri Grpc { get; }

    /// <summary>Its metrics page.</summary>
    public Uri Metrics { get; }

    /// <summary>A client of it.</summary>
    public HttpClient Client { get; }

    /// <summary>Process id.</summary>
    public int Id => _process.Id;

    /// <summary>Whether it runs.</summary>
    public bool IsRunning => !_process.HasExited;

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
    public static async Task<RegistryProcess> StartAsync(
        string dataDirectory, CancellationToken cancellationToken, IReadOnlyDictionary<string, string>? settings = null)
    {
        var url = new Uri($"http://127.0.0.1:{Ports.Free()}");
        var grpc = new Uri($"http://127.0.0.1:{Ports.Free()}");
        var metrics = new Uri($"http://127.0.0.1:{Ports.Free()}");
        var start = new ProcessStartInfo(Executable, ["serve"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = dataDirectory,
        };
        start.Environment["Registry__DataDirectory"] = dataDirectory;
        start.Environment["Registry__Endpoints__Http"] = url.ToString().TrimEnd('/');
        start.Environment["Registry__Endpoints__Grpc"] = grpc.ToString().TrimEnd('/');
        start.Environment["Registry__Endpoints__Metrics"] = metrics.ToString().TrimEnd('/');
        foreach (var (name, value) in settings ?? new Dictionary<string, string>())
            start.Environment[name] = value;

        var process = Process.Start(start) ?? throw new InvalidOperationException($"{Executable} did not start.");
        var registry = new RegistryProcess(process, url, grpc, new Uri(metrics, "/metrics"));
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

    /// <summary>The server as it was built with these tests.</summary>
    public static string Executable { get; } = RepositoryTree.File(
        "artifacts", "bin", "Registry.Api", "release", "registry");

    /// <summary>Ends it as an operator would, and requires that it ends well.</summary>
    public async Task StopAsync()
    {
        Assert.Equal(0, SendSignal(_process.Id, Terminate));
        using var limit = new CancellationTokenSource(StopLimit);
        await _process.WaitForExitAsync(limit.Token);
        Assert.True(_process.ExitCode == 0, $"The registry ended with code {_process.ExitCode}:\n{Log}");
    }

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
        while (!_process.HasExited)
        {
            try
            {
                using var answer = await Client.GetAsync("/healthcheck", limit.Token);
                if (answer.StatusCode == HttpStatusCode.OK)
                    return;
            }
            catch (HttpRequestException refused) when (refused.HttpRequestError == HttpRequestError.ConnectionError)
            {
                // It does not listen yet.
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
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int SendSignal(int processId, int signal);
}
