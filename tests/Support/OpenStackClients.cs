using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Registry.Support;

/// <summary>Debian's own OpenStack clients (python3-openstackclient, python3-glanceclient and the SDK under them), in one
/// Python process that imported them once: importing costs a command more processor time than everything it does.</summary>
/// <remarks>Each command runs in a fork of that process, so none sees what another did. Any number run at once.</remarks>
public sealed class OpenStackClients : IAsyncDisposable
{
    private const string Python = "/usr/bin/python3";
    private static readonly TimeSpan CommandLimit = TimeSpan.FromMinutes(3);
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(2);

    private readonly ConcurrentDictionary<int, TaskCompletionSource<ToolResult>> _waiting = new();
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SemaphoreSlim _oneRequest = new(1);
    private readonly TempDirectory _home = new();
    private readonly StringBuilder _errors = new();
    private readonly Process _process;
    private int _requests;

    private OpenStackClients()
    {
        // -B: scripts import what lies beside them, and nothing is to be left there.
        var start = new ProcessStartInfo(Python, ["-u", "-B", RepositoryTree.File("tests", "Support", "clients.py")])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardInputEncoding = new UTF8Encoding(false),
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
        };

        // Whatever cloud the caller of the tests is logged in to must not leak into them.
        start.Environment.Clear();
        foreach (var (name, value) in Surroundings(_home.Path))
            start.Environment[name] = value;

        _process = Process.Start(start) ?? throw new InvalidOperationException($"{Python} did not start.");
        _process.OutputDataReceived += Take;
        _process.ErrorDataReceived += Note;
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>Starts the process and waits until it has imported everything; skips the test where the clients are not
    /// installed.</summary>
    /// <param name="cancellationToken">Cancels the start.</param>
    public static async Task<OpenStackClients> StartAsync(CancellationToken cancellationToken)
    {
        ExternalTool.Require("openstack");
        ExternalTool.Require("glance");
        var clients = new OpenStackClients();
        await clients._ready.Task.WaitAsync(StartLimit, cancellationToken);
        return clients;
    }

    /// <summary>Runs a command to its end.</summary>
    /// <param name="program">openstack, glance, or the path of a Python script.</param>
    /// <param name="arguments">Its arguments, each as it is.</param>
    /// <param name="home">Its home directory, where it works too.</param>
    /// <param name="variables">Its OS_ variables.</param>
    /// <param name="cancellationToken">Gives up waiting; the command is killed after three minutes anyhow.</param>
    public async Task<ToolResult> RunAsync(
        string program,
        IEnumerable<string> arguments,
        string home,
        IReadOnlyDictionary<string, string> variables,
        CancellationToken cancellationToken)
    {
        var id = Interlocked.Increment(ref _requests);
        var answer = new TaskCompletionSource<ToolResult>(TaskCreationOptions.RunContinuationsAsynchronously);
        _waiting[id] = answer;
        var line = JsonSerializer.Serialize(new Request(
            id, program, [.. arguments], Surroundings(home).Concat(variables).ToDictionary(), home,
            (int)CommandLimit.TotalSeconds));
        await _oneRequest.WaitAsync(cancellationToken);
        try
        {
            await _process.StandardInput.WriteAsync(line + "\n");
            await _process.StandardInput.FlushAsync(CancellationToken.None);
        }
        finally
        {
            _oneRequest.Release();
        }

        return await answer.Task.WaitAsync(CommandLimit * 2, cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _process.StandardInput.Close();
        using var limit = new CancellationTokenSource(CommandLimit);
        await _process.WaitForExitAsync(limit.Token);
        _process.Dispose();
        _oneRequest.Dispose();
        _home.Dispose();
    }

    private static Dictionary<string, string> Surroundings(string home) => new()
    {
        ["PATH"] = "/usr/bin:/bin",
        ["LANG"] = "C.UTF-8",
        ["HOME"] = home,
    };

    private void Take(object sender, DataReceivedEventArgs line)
    {
        if (line.Data is null)
        {
            Fail();
        }
        else if (line.Data == "ready")
        {
            _ready.TrySetResult();
        }
        else
        {
            var answer = JsonSerializer.Deserialize<Answer>(line.Data)!;
            if (_waiting.TryRemove(answer.Id, out var waiting))
                waiting.SetResult(new ToolResult(answer.Code, answer.Out, answer.Err));
        }
    }

    // It has ended: whoever waits need not.
    private void Fail()
    {
        string said;
        lock (_errors)
            said = _errors.ToString();
        var ended = new InvalidOperationException($"The clients' process ended: {said}");
        _ready.TrySetException(ended);
        foreach (var waiting in _waiting.Values)
            waiting.TrySetException(ended);
    }

    private void Note(object sender, DataReceivedEventArgs line)
    {
        lock (_errors)
            _errors.AppendLine(line.Data);
    }

    private sealed record Request(
        [property: JsonPropertyName("id")] int Id,
        [property: JsonPropertyName("program")] string Program,
        [property: JsonPropertyName("argv")] IReadOnlyList<string> Arguments,
        [property: JsonPropertyName("env")] IReadOnlyDictionary<string, string> Environment,
        [property: JsonPropertyName("cwd")] string Directory,
        [property: JsonPropertyName("limit")] int LimitSeconds);

    private sealed record Answer(
        [property: JsonPropertyName("id")] int Id,
        [property: JsonPropertyName("code")] int Code,
        [property: JsonPropertyName("out")] string Out,
        [property: JsonPropertyName("err")] string Err);
}
