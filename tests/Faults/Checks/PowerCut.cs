using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Check 6 of the bar.</summary>
internal sealed class PowerCut : FaultCheck
{
    private const int Clients = 8;

    /// <inheritdoc/>
    public override string Name => "power-cut";

    /// <inheritdoc/>
    public override string Description => """
          Database and bytes on a file system of its own, XFS and then ext4, on a loop device. Amid the load of eight clients the
          file system is shut down without writing its log out, as when the power goes; what the clients were told is kept
          elsewhere. Mounted again, everything acknowledged is there. Needs root, xfs_io and mkfs.
        """;

    /// <inheritdoc/>
    public override int Rounds => 20;

    /// <inheritdoc/>
    public override bool OnProduction => false; // of the file store; the power of S3 and PostgreSQL is not ours

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        if (!Environment.IsPrivilegedProcess || ExternalTool.Find("xfs_io") is null)
        {
            throw new CannotRunException("needs root and xfs_io (xfsprogs)");
        }

        var told = new List<string>();
        foreach (var (kind, options) in new (string, string[])[]
        {
            ("xfs", ["-q", "-f"]), ("ext4", ["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
        })
        {
            told.Add($"{kind}: {await RunAsync(trial, kind, options)}");
        }

        return string.Join("; ", told);
    }

    private static async Task<string> RunAsync(Trial trial, string kind, string[] options)
    {
        await using var disk = await LoopDisk.CreateAsync(kind, options);
        await using var site = new EmbeddedSite(Path.Combine(disk.Mount, "data"));
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var invariants = new Invariants(site, ledger) { Uploads = Clients };
        var registry = await site.StartAsync();
        for (var round = 1; round <= trial.Rounds; round++)
        {
            var before = ledger.Acknowledged;
            using var load = new Load(ledger, [registry.Url], Clients, trial.Random.Next(), 4 << 20);
            await ledger.UntilMoreAsync(before);
            await Task.Delay(trial.Random.Next(trial.Rounds < 5 ? 1000 : 4000));
            // A file system lets an fdatasync(2) that is under way while it is shut down succeed without its last write
            // being kept (seen on XFS and ext4 with nothing but pwrite and fdatasync on Linux 6.18; never with one that
            // ended before). At a power cut nobody hears of such a success; so what is heard from here on does not count.
            ledger.Close();
            await disk.CutAsync();
            await registry.KillAsync();
            await load.StopAsync();
            load.RequireNoLies();
            await disk.RemountAsync();
            ledger.Reopen();
            registry = await site.StartAsync();
            var integrity = (await site.QueryAsync("pragma integrity_check"))[0][0];
            if (integrity != "ok")
            {
                throw new FaultException($"{kind}, round {round}: the database is damaged: {integrity}");
            }

            await invariants.RequireAsync(registry);
            await ledger.DeleteAllAsync(registry.Client);
            trial.Say($"{kind}, round {round}: {ledger.Acknowledged} acknowledged");
        }

        await registry.StopAsync();
        return $"{trial.Rounds} cuts, {ledger.Kept.Count} uploads and {ledger.Gone.Count} deletions acknowledged, 0 lost";
    }

    /// <summary>A file system in a file.</summary>
    private sealed class LoopDisk(string directory) : IAsyncDisposable
    {
        private bool _isMounted;

        public string Mount { get; } = Path.Combine(directory, "mount");

        private string Image => Path.Combine(directory, "image");

        public static async Task<LoopDisk> CreateAsync(string kind, string[] options)
        {
            var mkfs = ExternalTool.Find($"mkfs.{kind}") ?? throw new CannotRunException($"mkfs.{kind} is not installed");
            var disk = new LoopDisk(Directory.CreateTempSubdirectory("registry-power-").FullName);
            Directory.CreateDirectory(disk.Mount);
            await using (var image = File.Create(disk.Image))
            {
                image.SetLength(2L << 30);
            }

            await RunAsync(mkfs, [.. options, disk.Image]);
            await disk.MountAsync();
            return disk;
        }

        public Task CutAsync() => RunAsync(ExternalTool.Find("xfs_io")!, ["-x", "-c", "shutdown", Mount]);

        public async Task RemountAsync()
        {
            await UnmountAsync();
            await MountAsync();
        }

        public async ValueTask DisposeAsync()
        {
            if (_isMounted)
            {
                await UnmountAsync();
            }

            Directory.Delete(directory, recursive: true);
        }

        private async Task MountAsync()
        {
            await RunAsync("/bin/mount", ["-o", "loop", Image, Mount]);
            _isMounted = true;
        }

        // A program that was killed just now may hold it a moment longer.
        private async Task UnmountAsync()
        {
            for (var attempt = 0; ; attempt++)
            {
                try
                {
                    await RunAsync("/bin/umount", [Mount]);
                    _isMounted = false;
                    return;
                }
                catch (CannotRunException) when (attempt < 50)
                {
                    await Task.Delay(100);
                }
            }
        }

        private static async Task RunAsync(string program, string[] arguments)
        {
            var result = await ExternalTool.At(program).RunAsync(arguments, CancellationToken.None);
            if (result.ExitCode != 0)
            {
                throw new CannotRunException($"{program} {string.Join(' ', arguments)}: {result.Error.Trim()}");
            }
        }
    }
}
