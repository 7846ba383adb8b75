using System.Diagnostics;
using Registry.Support;

namespace Registry.Faults;

/// <summary>registry provision, under way.</summary>
internal sealed class ProvisionRun
{
    private readonly Process _process;
    private readonly Task<string> _output;
    private readonly Task<string> _error;

    /// <summary>Starts it as the operator.</summary>
    public ProvisionRun(Site site, IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(RegistryProcess.Executable, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = site.Scratch,
        };
        start.Environment["OS_TOKEN"] = Site.Operator;
        _process = Process.Start(start)!;
        (_output, _error) = (_process.StandardOutput.ReadToEndAsync(), _process.StandardError.ReadToEndAsync());
    }

    /// <summary>Ends it with kill -9.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    /// <summary>Waits for its end.</summary>
    /// <returns>Exit code and everything it wrote.</returns>
    public async Task<(int ExitCode, string Output)> EndAsync()
    {
        await _process.WaitForExitAsync();
        return (_process.ExitCode, await _output + await _error);
    }
}
