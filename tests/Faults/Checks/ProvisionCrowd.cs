using System.Diagnostics;
using System.Security.Cryptography;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Many hosts that want one image at the same time, and a registry in a small container.</summary>
internal sealed class ProvisionCrowd : FaultCheck
{
    private const int DiskBytes = 48 << 20;
    private const int DataBytes = 16 << 20;
    private const long MemoryMax = 256 << 20;

    /// <inheritdoc/>
    public override string Name => "provision-crowd";

    /// <inheritdoc/>
    public override string Description => """
          So many runs of registry provision at once, of one image, from a registry whose runtime is told that it has 256 MiB of memory:
          all end well, each disk is right, and the registry's own memory (RssAnon, looked at all the time) never was more.
        """;

    /// <inheritdoc/>
    public override int Rounds => 200;

    /// <inheritdoc/>
    public override int SmokeRounds => 4;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => !isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        site.Settings["DOTNET_GCHeapHardLimit"] = $"{MemoryMax / 4 * 3:X}"; // as the runtime has it in such a container
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var registry = await site.StartAsync();
        var content = new byte[DiskBytes];
        trial.Random.NextBytes(content.AsSpan(DataBytes / 2, DataBytes));
        var promise = Promise.Of(content);
        var id = await registry.Client.AddAsync(content);
        ledger.Keep(id, promise);

        using var over = new CancellationTokenSource();
        var watching = PeakMemoryAsync(registry, over.Token);
        var elapsed = Stopwatch.StartNew();
        var targets = Enumerable.Range(0, trial.Rounds).Select(n => Path.Combine(site.Scratch, $"{n}.raw")).ToList();
        var runs = targets.Select(target => new ProvisionRun(
            site, ["provision", id, "--to", target, "--url", $"{registry.Url}"])).ToList();
        foreach (var (run, target) in runs.Zip(targets))
        {
            var (code, output) = await run.EndAsync();
            if (code != 0)
            {
                throw new FaultException($"a provision ended with code {code}: {output.ReplaceLineEndings(" ")}");
            }

            await using (var file = File.OpenRead(target))
            {
                if (Convert.ToHexStringLower(await SHA512.HashDataAsync(file)) != promise.Sha512)
                {
                    throw new FaultException("a provision ended well with wrong bytes");
                }
            }

            File.Delete(target);
        }

        elapsed.Stop();
        await over.CancelAsync();
        var memory = await watching;
        return memory <= MemoryMax
            ? $"{trial.Rounds} at once, all right after {elapsed.Elapsed.TotalSeconds:F0} s, {memory >> 20} MiB at most"
            : throw new FaultException($"the registry had {memory >> 20} MiB of memory");
    }

    // Its mapped files are left out: the kernel takes their pages back where memory is short.
    private static async Task<long> PeakMemoryAsync(RegistryProcess registry, CancellationToken over)
    {
        var most = 0L;
        while (!over.IsCancellationRequested)
        {
            most = Math.Max(most, registry.Status("RssAnon") << 10);
            await Task.Delay(20, CancellationToken.None);
        }

        return most;
    }
}
