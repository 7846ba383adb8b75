using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Registry.Bench;

/// <summary>What a program cost.</summary>
/// <param name="Wall">Seconds from start to end.</param>
/// <param name="Cpu">Seconds of processor time, user and system.</param>
internal readonly record struct Spent(double Wall, double Cpu);

/// <summary>Runs programs one at a time and says what each cost.</summary>
internal static partial class Child
{
    private const int Children = -1;

    /// <summary>Runs a program to its end.</summary>
    /// <exception cref="InvalidOperationException">It failed.</exception>
    public static Spent Run(string program, string[] arguments)
    {
        var cpu = CpuSeconds();
        var watch = Stopwatch.StartNew();
        using var process = Process.Start(program, arguments);
        process.WaitForExit();
        var wall = watch.Elapsed.TotalSeconds;
        return process.ExitCode == 0
            ? new Spent(wall, CpuSeconds() - cpu)
            : throw new InvalidOperationException(
                $"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}.");
    }

    /// <summary>Runs a program to its end and gives what it wrote to standard output.</summary>
    /// <exception cref="InvalidOperationException">It failed.</exception>
    public static string Output(string program, string[] arguments)
    {
        using var process = Process.Start(
            new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0
            ? output
            : throw new InvalidOperationException(
                $"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}.");
    }

    /// <summary>Runs a program to its end and gives the most memory it held at once, in bytes.</summary>
    public static long PeakMemory(string program, string[] arguments)
    {
        using var process = Process.Start(program, arguments);
        var peak = 0L;
        while (!process.WaitForExit(TimeSpan.FromMilliseconds(10)))
        {
            peak = Math.Max(peak, HighWaterMark(process.Id));
        }

        return process.ExitCode == 0
            ? peak
            : throw new InvalidOperationException($"{program} ended with {process.ExitCode}.");
    }

    private static long HighWaterMark(int processId)
    {
        try
        {
            var line = File.ReadLines($"/proc/{processId}/status").FirstOrDefault(
                line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
            return line is null ? 0 : long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]) << 10;
        }
        catch (IOException)
        {
            return 0; // it has just ended
        }
    }

    /// <summary>User and system seconds of the child processes that have ended.</summary>
    public static double CpuSeconds()
    {
        var usage = new long[18]; // struct rusage: two timevals, then fourteen counters
        if (GetResourceUsage(Children, usage) != 0)
        {
            throw new InvalidOperationException("getrusage failed");
        }

        return usage[0] + usage[2] + ((usage[1] + usage[3]) / 1e6);
    }

    [LibraryImport("libc", EntryPoint = "getrusage")]
    private static partial int GetResourceUsage(int who, [In, Out] long[] usage);
}
