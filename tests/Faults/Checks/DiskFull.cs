using System.Diagnostics;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Check 8 of the bar.</summary>
internal sealed class DiskFull : FaultCheck
{
    private const int Mebibyte = 1 << 20;

    /// <inheritdoc/>
    public override string Name => "disk-full";

    /// <inheritdoc/>
    public override string Description => """
          The store is a tmpfs of 64 MiB. An upload of 100 MiB is refused within 5 s of the end of the room, the image is queued
          again, the room is free within 10 s, and the next upload succeeds. Needs root.
        """;

    /// <inheritdoc/>
    public override bool OnProduction => false; // of the file store; a bucket that is full is among the S3 tests

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        var mount = Directory.CreateTempSubdirectory("registry-full-").FullName;
        if (!Environment.IsPrivilegedProcess || await MountAsync("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", mount) != 0)
        {
            throw new CannotRunException("tmpfs cannot be mounted");
        }

        try
        {
            return await RunAsync(trial, mount);
        }
        finally
        {
            await MountAsync("umount", mount);
            Directory.Delete(mount);
        }
    }

    private static async Task<string> RunAsync(Trial trial, string mount)
    {
        await using var site = new EmbeddedSite(blobs: Path.Combine(mount, "blobs"));
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var registry = await site.StartAsync();
        var http = registry.Client;
        var kept = trial.Bytes(Mebibyte);
        ledger.Keep(await http.AddAsync(kept), Promise.Of(kept));
        var before = new DriveInfo(mount).AvailableFreeSpace;
        var id = await http.CreateAsync("too large");
        var content = trial.Bytes(100 * Mebibyte);
        var elapsed = Stopwatch.StartNew();
        var status = 0;
        try
        {
            status = await http.UploadAsync(id, content);
        }
        catch (HttpRequestException)
        {
            status = 413; // it closed the connection before it had all; the image's own status tells
        }

        var refused = elapsed.Elapsed;
        if (status is < 400 or 500 || refused > TimeSpan.FromSeconds(5))
        {
            throw new FaultException($"100 MiB were answered with {status} after {refused.TotalSeconds:F1} s");
        }

        elapsed.Restart();
        while (new DriveInfo(mount).AvailableFreeSpace < before || await http.StatusAsync(id) != "queued")
        {
            if (elapsed.Elapsed > TimeSpan.FromSeconds(10))
            {
                throw new FaultException($"after 10 s the image is {await http.StatusAsync(id)} and the room not free");
            }

            await Task.Delay(50);
        }

        var small = trial.Bytes(Mebibyte);
        ledger.Keep(await http.AddAsync(small), Promise.Of(small));
        await new Invariants(site, ledger).RequireAsync(registry);
        return $"refused with {status} after {refused.TotalSeconds:F1} s, the room was free {elapsed.Elapsed.TotalSeconds:F1} s later";
    }

    private static async Task<int> MountAsync(string program, params string[] arguments) =>
        (await ExternalTool.At(ExternalTool.Find(program)!).RunAsync(arguments, CancellationToken.None)).ExitCode;
}
