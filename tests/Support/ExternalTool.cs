using System.Diagnostics;
using System.Text;
using Xunit;

namespace Registry.Support;

/// <summary>What a tool answered.</summary>
/// <param name="ExitCode">Its exit code.</param>
/// <param name="Output">What it wrote to standard output.</param>
/// <param name="Error">What it wrote to standard error.</param>
public sealed record ToolResult(int ExitCode, string Output, string Error);

/// <summary>A program that tests compare with or drive, and that a machine may lack.</summary>
/// <remarks>Always started directly, never through a shell. Missing tools skip a test; with CI=true they fail it, so
/// that a green run means that everything ran.</remarks>
public sealed class ExternalTool
{
    // qemu-img measures how fast it derives keys, and gives up where it was given no processor meanwhile.
    private const string NoClock = "Unable to get accurate CPU usage";
    private static readonly TimeSpan DefaultTimeout = TimeSpan.FromMinutes(5);
    private static readonly string[] AlsoLookIn = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
    private readonly string _path;

    private ExternalTool(string path) => _path = path;

    /// <summary>Whether tests must not be skipped.</summary>
    public static bool IsStrict => Environment.GetEnvironmentVariable("CI") == "true";

    /// <summary>The tool of a name; skips the test when it is missing, or fails it where
    /// <see cref="IsStrict"/>.</summary>
    /// <param name="name">Name of the executable.</param>
    public static ExternalTool Require(string name)
    {
        if (Find(name) is { } path)
            return new ExternalTool(path);

        Assert.False(IsStrict, $"{name} is not installed, and CI=true forbids to skip.");
        Assert.Skip($"{name} is not installed.");
        throw new UnreachableException();
    }

    /// <summary>The tool at a path.</summary>
    public static ExternalTool At(string path) => new(path);

    /// <summary>The path of an executable; null when there is none.</summary>
    /// <param name="name">Name of the executable.</param>
    public static string? Find(string name) => (Environment.GetEnvironmentVariable("PATH") ?? "")
        .Split(':', StringSplitOptions.RemoveEmptyEntries)
        .Concat(AlsoLookIn)
        .Select(directory => Path.Combine(directory, name))
        .FirstOrDefault(File.Exists);

    /// <summary>Runs the tool to its end.</summary>
    /// <param name="arguments">Its arguments, each as it is.</param>
    /// <param name="cancellationToken">Kills the tool.</param>
    /// <param name="environment">Variables on top of our own; null removes one.</param>
    /// <param name="timeout">After this it is killed; 5 minutes unless told.</param>
    /// <exception cref="TimeoutException">It took longer.</exception>
    public async Task<ToolResult> RunAsync(
        IEnumerable<string> arguments,
        CancellationToken cancellationToken,
        IReadOnlyDictionary<string, string?>? environment = null,
        TimeSpan? timeout = null)
    {
        var start = new ProcessStartInfo(_path, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
        };
        foreach (var (name, value) in environment ?? new Dictionary<string, string?>())
            start.Environment[name] = value;

        using var process = Process.Start(start) ?? throw new InvalidOperationException($"{_path} did not start.");
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync(cancellationToken);
        var error = process.StandardError.ReadToEndAsync(cancellationToken);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(timeout ?? DefaultTimeout);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            cancellationToken.ThrowIfCancellationRequested();
            throw new TimeoutException($"{_path} {string.Join(' ', start.ArgumentList)} took too long.");
        }

        return new ToolResult(process.ExitCode, await output, await error);
    }

    /// <summary>Runs the tool and fails the test when it fails.</summary>
    /// <param name="cancellationToken">Kills the tool.</param>
    /// <param name="arguments">Its arguments, each as it is.</param>
    /// <returns>What it wrote to standard output.</returns>
    public async Task<string> OutputAsync(CancellationToken cancellationToken, params string[] arguments)
    {
        var result = await RunAsync(arguments, cancellationToken);
        for (var again = 0; again < 5 && result.Error.Contains(NoClock, StringComparison.Ordinal); again++)
            result = await RunAsync(arguments, cancellationToken);

        Assert.True(
            result.ExitCode == 0,
            $"{_path} {string.Join(' ', arguments)} ended with {result.ExitCode}: {result.Error}{result.Output}");
        return result.Output;
    }
}
