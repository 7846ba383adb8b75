using System.Diagnostics;
using System.Globalization;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Check 8 of the bar.</summary>
internal sealed class DiskFull : FaultCheck
{
    private const int Mebibyte = 1 << 20;

    // It reads an answer that comes before it has sent everything, which HttpClient does not always.
    private static ExternalTool Curl => ExternalTool.At(
        ExternalTool.Find("curl") ?? throw new CannotRunException("curl is not installed"));

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
        await using var mount = await Mount.TmpfsAsync(64);
        return await RunAsync(trial, mount.Path);
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
        var content = Path.Combine(site.Scratch, "content");
        await File.WriteAllBytesAsync(content, trial.Bytes(100 * Mebibyte));
        var elapsed = Stopwatch.StartNew();
        var curl = await Curl.RunAsync(
            [
                "--silent", "--upload-file", content, "--header", "Content-Type: application/octet-stream",
                "--header", $"X-Auth-Token: {Site.Operator}", "--write-out", "%{http_code}",
                "--output", Path.Combine(site.Scratch, "answer"), $"{registry.Url}v2/images/{id}/file",
            ],
            CancellationToken.None);
        var status = int.Parse(curl.Output, CultureInfo.InvariantCulture);
        var refused = elapsed.Elapsed;
        if (status != 413 || refused > trial.Within(TimeSpan.FromSeconds(5)))
        {
            throw new FaultException($"100 MiB were answered with {status} after {refused.TotalSeconds:F1} s");
        }

        elapsed.Restart();
        while (new DriveInfo(mount).AvailableFreeSpace < before || await http.StatusAsync(id) != "queued")
        {
            if (elapsed.Elapsed > trial.Within(TimeSpan.FromSeconds(10)))
            {
                throw new FaultException(
                    $"after {elapsed.Elapsed.TotalSeconds:F0} s the image is {await http.StatusAsync(id)} and the room not free");
            }

            await Task.Delay(50);
        }

        var small = trial.Bytes(Mebibyte);
        ledger.Keep(await http.AddAsync(small), Promise.Of(small));
        await new Invariants(site, ledger).RequireAsync(registry);
        return $"refused with {status} after {refused.TotalSeconds:F1} s, the room was free {elapsed.Elapsed.TotalSeconds:F1} s later";
    }
}
