using System.Diagnostics;
using System.Globalization;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Check 7 of the bar.</summary>
internal sealed class FsyncOrder : FaultCheck
{
    /// <inheritdoc/>
    public override string Name => "fsync-order";

    /// <inheritdoc/>
    public override string Description => """
          One upload under strace. In a directory: the parts are synced, then renamed, then the directory is synced, then the
          database writes and syncs, then the client hears 204. In a bucket: the record is stored, then the database is told to
          commit, then the client hears 204.
        """;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        var strace = ExternalTool.Find("strace") ?? throw new CannotRunException("strace is not installed");
        await using var site = await trial.NewSiteAsync();
        var registry = await site.StartAsync();
        await registry.Client.AddAsync(trial.Bytes(10)); // what happens once only
        var id = await registry.Client.CreateAsync("traced");
        var trace = Path.Combine(site.Scratch, "trace");
        using var tracer = Process.Start(
            strace,
            [
                "-f", "-y", "-q", "-s", "400", "-o", trace, "-e",
                "trace=fsync,fdatasync,rename,renameat2,sendto,sendmsg,write,pwrite64,recvfrom,recvmsg,read", "-p",
                registry.Id.ToString(CultureInfo.InvariantCulture),
            ]);
        await UntilTracedAsync(registry.Id);
        var status = await registry.Client.UploadAsync(id, trial.Bytes(3_000_000));
        await registry.StopAsync();
        await tracer.WaitForExitAsync();
        if (status != 204)
        {
            throw new FaultException($"the upload was answered with {status}");
        }

        var lines = await File.ReadAllLinesAsync(trace);
        var steps = trial.IsProduction
            ? BucketSteps(id)
            : DirectorySteps(id);
        var at = -1;
        foreach (var (what, holds) in steps)
        {
            var next = Array.FindIndex(lines, at + 1, line => holds(line));
            if (next < 0)
            {
                throw new FaultException(
                    $"after line {at + 1} of {lines.Length}: {what} is not there, or too early " +
                    $"({Array.FindIndex(lines, line => holds(line)) + 1})");
            }

            at = next;
        }

        return string.Join(" < ", steps.Select(step => step.What));
    }

    private static (string What, Func<string, bool> Holds)[] DirectorySteps(string id)
    {
        bool Synced(string line, string ending) =>
            (line.Contains("fsync(", StringComparison.Ordinal) || line.Contains("fdatasync(", StringComparison.Ordinal))
            && line.Contains(ending + ">", StringComparison.Ordinal) && !line.Contains("= -1", StringComparison.Ordinal);
        return
        [
            ("fsync(data)", line => Synced(line, $"{id}.1/data")),
            ("fsync(index)", line => Synced(line, $"{id}.1/index")),
            ("rename", line => line.Contains("rename", StringComparison.Ordinal)
                && line.Contains($"/{id}.1\"", StringComparison.Ordinal)
                && line.Contains($"/{id}/1\"", StringComparison.Ordinal)),
            ("fsync(directory)", line => Synced(line, $"/blobs/{id}")),
            ("write to the database", line => line.Contains("pwrite64(", StringComparison.Ordinal)
                && line.Contains("registry.db-wal>", StringComparison.Ordinal)),
            ("fsync(database)", line => Synced(line, "registry.db-wal")),
            ("204", Answered),
        ];
    }

    private static (string What, Func<string, bool> Holds)[] BucketSteps(string id) =>
    [
        ("PUT of the record", line => line.Contains($"{id}/1/blob?", StringComparison.Ordinal)
            && line.Contains("PUT /", StringComparison.Ordinal) && IsSent(line)),
        ("200", line => line.Contains("HTTP/1.1 200", StringComparison.Ordinal) && !IsSent(line)),
        ("COMMIT", line => line.Contains("COMMIT\\0", StringComparison.Ordinal) && IsSent(line)),
        ("204", Answered),
    ];

    private static bool Answered(string line) => line.Contains("HTTP/1.1 204", StringComparison.Ordinal) && IsSent(line);

    private static bool IsSent(string line) =>
        line.Contains("sendmsg(", StringComparison.Ordinal) || line.Contains("sendto(", StringComparison.Ordinal)
        || line.Contains("write(", StringComparison.Ordinal);

    private static async Task UntilTracedAsync(int process)
    {
        while (Directory.GetDirectories($"/proc/{process}/task").Any(task =>
            File.ReadAllText(Path.Combine(task, "status")).Contains("TracerPid:\t0", StringComparison.Ordinal)))
        {
            await Task.Delay(20);
        }
    }
}
