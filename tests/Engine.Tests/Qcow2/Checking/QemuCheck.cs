using System.Diagnostics;
using System.Text.Json;
using Registry.Engine.Qcow2.Checking;

namespace Registry.Engine.Tests.Qcow2.Checking;

/// <summary>What qemu-img check says.</summary>
/// <param name="ExitCode">0 clean, 1 could not, 2 corrupt, 3 leaks; -1 when it did not end in time or crashed.</param>
/// <param name="Report">Its numbers; null when it printed none.</param>
/// <param name="Messages">All that it wrote to standard error.</param>
internal sealed record QemuCheck(int ExitCode, QcowCheckReport? Report, string Messages)
{
    private const int Seconds = 20;

    /// <summary>Runs it, repairing if asked to.</summary>
    public static async Task<QemuCheck> RunAsync(string path, string? repair = null, string? passphrase = null)
    {
        var arguments = new List<string> { "-s", "KILL", $"{Seconds}", "qemu-img", "check", "--output=json" };
        if (repair is not null)
        {
            arguments.AddRange(["-r", repair]);
        }

        arguments.AddRange(passphrase is null
            ? ["-f", "qcow2", path]
            : ["--object", $"secret,id=s,data={passphrase}", "--image-opts",
                $"driver=qcow2,encrypt.key-secret=s,file.filename={path}"]);
        var start = new ProcessStartInfo("timeout", arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        var code = process.ExitCode > 100 ? -1 : process.ExitCode;
        return new QemuCheck(code, output.Length == 0 ? null : Parse(output), await error);
    }

    /// <summary>The exit code that a report means.</summary>
    public static int ExitCodeOf(QcowCheckReport report) =>
        report.CheckErrors > 0 ? 1 : report.Corruptions > 0 ? 2 : report.Leaks > 0 ? 3 : 0;

    private static QcowCheckReport Parse(string output)
    {
        using var json = JsonDocument.Parse(output);
        var root = json.RootElement;
        return new QcowCheckReport
        {
            Corruptions = Get("corruptions"),
            Leaks = Get("leaks"),
            CheckErrors = Get("check-errors"),
            CorruptionsFixed = Get("corruptions-fixed"),
            LeaksFixed = Get("leaks-fixed"),
            ImageEndOffset = Get("image-end-offset"),
            TotalClusters = Get("total-clusters"),
            AllocatedClusters = Get("allocated-clusters"),
            FragmentedClusters = Get("fragmented-clusters"),
            CompressedClusters = Get("compressed-clusters"),
        };

        long Get(string key) => root.TryGetProperty(key, out var value) ? value.GetInt64() : 0;
    }
}
