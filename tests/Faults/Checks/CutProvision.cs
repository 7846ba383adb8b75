using System.Diagnostics;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>A disk on its way from the store to a host, and what can happen to it.</summary>
internal sealed class CutProvision : FaultCheck
{
    private const int DiskBytes = 96 << 20;
    private const int RunBytes = 512 << 10;
    private static readonly string[] Forms = ["raw", "qcow2", "zstd"];

    /// <inheritdoc/>
    public override string Name => "cut-provision";

    /// <inheritdoc/>
    public override string Description => """
          Provisions of a raw, a qcow2 and a compressed image, each met by one fault at a random moment: a bit turned or an answer cut
          between store and registry, a burst of 503, the registry or the client ended with kill -9. The target has its name only
          when the disk is whole and right; a command that fails says why, and the same command goes on and ends well.
        """;

    /// <inheritdoc/>
    public override int Rounds => 50;

    /// <inheritdoc/>
    public override int SmokeRounds => 2;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => !isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        var qemu = ExternalTool.At(
            ExternalTool.Find("qemu-img") ?? throw new CannotRunException("qemu-img is not installed"));
        await using var site = await trial.NewSiteAsync();
        site.Settings["Registry__Stores__0__Silence"] = "00:00:02";
        site.Settings["Registry__Stores__0__Deadline"] = "00:00:04";
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var registry = await site.StartAsync();
        var disk = Path.Combine(site.Scratch, "disk.raw");
        WriteDisk(trial, disk);
        var ids = new Dictionary<string, string>();
        foreach (var form in Forms)
        {
            ids[form] = await AddAsync(registry.Client, qemu, disk, form);
        }

        ledger.Keep(ids["raw"], Promise.Of(await File.ReadAllBytesAsync(disk)));

        var usual = Stopwatch.StartNew();
        var host = new Host(site, qemu, disk, Path.Combine(site.Scratch, "target"));
        await host.RequireRightAsync(await host.Start(registry, ids["raw"], "raw").EndAsync(), "raw");
        usual.Stop();
        var (endedWell, failed, killed) = (0, 0, 0);
        for (var round = 0; round < trial.Rounds; round++)
        {
            var form = Forms[round % Forms.Length];
            var format = trial.Random.Next(2) == 0 ? "raw" : "qcow2";
            var fault = trial.Random.Next(trial.IsProduction ? 5 : 2);
            if (site is ProductionSite production && StoreFault(trial, fault) is { } harm)
            {
                production.StoreGate.Harm(harm);
            }

            var run = host.Start(registry, ids[form], format);
            if (fault < 2)
            {
                await Task.Delay(trial.Random.Next((int)usual.ElapsedMilliseconds));
                await (fault == 0 ? registry.KillAsync() : run.KillAsync());
            }

            var first = await run.EndAsync();
            (site as ProductionSite)?.StoreGate.Up();
            if (fault == 0)
            {
                registry = await site.StartAsync();
            }

            if (first.ExitCode == 0)
            {
                endedWell++;
            }
            else
            {
                await host.RequireReasonAsync(first, format);
                (killed, failed) = fault == 1 ? (killed + 1, failed) : (killed, failed + 1);
                first = await host.Start(registry, ids[form], format).EndAsync();
            }

            await host.RequireRightAsync(first, format);
        }

        await new Invariants(site, ledger).RequireAsync(registry);
        return $"{trial.Rounds} provisions: {endedWell} ended well in spite of it, {failed} failed with a reason, " +
            $"{killed} were killed; all {failed + killed} went on and ended well, 0 wrong bytes";
    }

    private static GateFault? StoreFault(Trial trial, int fault) => fault switch
    {
        2 => new GateFault { FlipAt = 700 + trial.Random.Next(2_000_000) },
        3 => new GateFault { CutAfter = trial.Random.Next(4_000_000), Times = 1 + trial.Random.Next(8) },
        4 => new GateFault { Status = 503, Times = 1 + trial.Random.Next(8) },
        _ => null,
    };

    // Half of it random bytes, in runs.
    private static void WriteDisk(Trial trial, string path)
    {
        using var file = File.Create(path);
        file.SetLength(DiskBytes);
        for (var at = 0; at < DiskBytes; at += RunBytes)
        {
            if (trial.Random.Next(2) == 0)
            {
                file.Position = at;
                file.Write(trial.Bytes(RunBytes));
            }
        }
    }

    private static async Task<string> AddAsync(HttpClient http, ExternalTool qemu, string disk, string form)
    {
        var path = form == "raw" ? disk : $"{disk}.{form}";
        if (form != "raw")
        {
            string[] options = form == "zstd" ? ["-c", "-o", "compression_type=zstd"] : [];
            await qemu.OutputAsync(
                CancellationToken.None, ["convert", "-f", "raw", "-O", "qcow2", .. options, disk, path]);
        }

        var id = await http.CreateAsync(form, form == "raw" ? "raw" : "qcow2");
        var status = await http.UploadAsync(id, await File.ReadAllBytesAsync(path));
        return status == 204 ? id : throw new FaultException($"an upload was answered with {status}");
    }

    /// <summary>Where disks are wanted.</summary>
    private sealed class Host(Site site, ExternalTool qemu, string disk, string target)
    {
        /// <summary>Starts a provision to the target.</summary>
        public ProvisionRun Start(RegistryProcess registry, string id, string format) => new(
            site, ["provision", id, "--to", target, "--format", format, "--url", $"{registry.Url}", "--retry", "1"]);

        /// <summary>Requires that a run ended well and that the target is the disk, and removes it.</summary>
        public Task RequireRightAsync((int ExitCode, string Output) run, string format) => run.ExitCode == 0
            ? RequireRightAsync(format)
            : throw new FaultException($"a provision did not go on: {run.Output.ReplaceLineEndings(" ")}");

        private async Task RequireRightAsync(string format)
        {
            var said = await qemu.RunAsync(
                ["compare", "-f", "raw", "-F", format, disk, target], CancellationToken.None);
            if (said.ExitCode != 0)
            {
                throw new FaultException($"a disk has its name and wrong bytes: {said.Output}{said.Error}");
            }

            File.Delete(target);
        }

        /// <summary>Requires that a run that did not end well said why, unless it was killed, and left no target that is
        /// not whole: between the name and its end it can be killed too.</summary>
        public async Task RequireReasonAsync((int ExitCode, string Output) run, string format)
        {
            if (File.Exists(target))
            {
                await RequireRightAsync(format);
            }

            const int killed = 128 + 9;
            var saysWhy = run.Output.Length > 0 && !run.Output.Contains("   at ", StringComparison.Ordinal);
            if (run.ExitCode != killed && !saysWhy)
            {
                throw new FaultException($"a provision failed with code {run.ExitCode} and says '{run.Output}'");
            }
        }
    }
}
