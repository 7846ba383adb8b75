using System.Diagnostics;
using System.Text;
using Registry.Support;

namespace Registry.Faults;

/// <summary>A registry process from its very first moment, ready or not: for what happens while it starts.</summary>
internal sealed class Launch : IAsyncDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _output = new();
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private Launch(Process process) => _process = process;

    /// <summary>Everything it has written so far.</summary>
    public string Output
    {
        get
        {
            lock (_output)
            {
                return _output.ToString();
            }
        }
    }

    /// <summary>The lines for a person: those of the command line itself.</summary>
    public IReadOnlyList<string> Lines => [.. Output.Split('\n')
        .Where(line => line.StartsWith("registry: ", StringComparison.Ordinal))];

    /// <summary>Whether it was ready at some time.</summary>
    public bool WasReady => _ready.Task.IsCompleted;

    /// <summary>Its exit code; of a killed process, 128 and the number of the signal.</summary>
    public int ExitCode => _process.ExitCode;

    /// <summary>Starts a verb on a site.</summary>
    /// <param name="site">The site.</param>
    /// <param name="wrapper">A program and its arguments that run it; empty for none.</param>
    /// <param name="arguments">The verb.</param>
    public static Launch Start(Site site, IReadOnlyList<string> wrapper, params IReadOnlyList<string> arguments)
    {
        Directory.CreateDirectory(site.DataDirectory);
        IReadOnlyList<string> command = [.. wrapper, RegistryProcess.Executable, .. arguments];
        var start = new ProcessStartInfo(command[0], command.Skip(1))
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = site.Scratch,
        };
        foreach (var (name, value) in site.Environment())
        {
            start.Environment[name] = value;
        }

        var launch = new Launch(Process.Start(start)!);
        launch._process.OutputDataReceived += launch.Note;
        launch._process.ErrorDataReceived += launch.Note;
        launch._process.BeginOutputReadLine();
        launch._process.BeginErrorReadLine();
        return launch;
    }

    /// <summary>Waits until it is ready or has ended.</summary>
    /// <returns>True: ready. False: it has ended.</returns>
    /// <exception cref="FaultException">Neither within the limit.</exception>
    public async Task<bool> SettleAsync(TimeSpan limit)
    {
        using var patience = new CancellationTokenSource(limit);
        try
        {
            await Task.WhenAny(_ready.Task, _process.WaitForExitAsync(patience.Token));
            patience.Token.ThrowIfCancellationRequested();
        }
        catch (OperationCanceledException)
        {
            throw new FaultException($"neither ready nor ended after {limit.TotalSeconds:F0} s: {Output.Trim()}");
        }

        return WasReady;
    }

    /// <summary>Waits for its end.</summary>
    /// <exception cref="FaultException">It has not ended within the limit.</exception>
    public async Task<int> EndAsync(TimeSpan limit)
    {
        using var patience = new CancellationTokenSource(limit);
        try
        {
            await _process.WaitForExitAsync(patience.Token);
            return _process.ExitCode;
        }
        catch (OperationCanceledException)
        {
            throw new FaultException($"not ended after {limit.TotalSeconds:F0} s: {Output.Trim()}");
        }
    }

    /// <summary>Ends it with kill -9, and the program that runs it.</summary>
    public async Task KillAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }

        await _process.WaitForExitAsync();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _process.Dispose();
    }

    private void Note(object sender, DataReceivedEventArgs line)
    {
        lock (_output)
        {
            _output.AppendLine(line.Data);
        }

        if (line.Data?.Contains("\"ready: ", StringComparison.Ordinal) == true)
        {
            _ready.TrySetResult();
        }
    }
}
