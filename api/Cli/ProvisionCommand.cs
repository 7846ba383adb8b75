using System.CommandLine;

namespace Registry.Api.Cli;

/// <summary>registry provision: a stored image becomes a disk on this machine.</summary>
internal static class ProvisionCommand
{
    private static readonly Argument<string> Name = new("IMAGE") { Description = "Id or name" };

    private static readonly Option<string> To = new("--to")
    {
        Description = "File or block device to write",
        Required = true,
    };

    private static readonly Option<string?> Format = new Option<string?>("--format")
    {
        Description = "Format of the disk: raw (the default) or qcow2",
    }.AcceptOnlyFromAmong("raw", "qcow2");

    private static readonly Option<long?> Size = new("--size")
    {
        Description = "Size of the disk, e.g. 12G; at least the image's virtual size",
        CustomParser = Sizes.ParseOption,
    };

    private static readonly Option<bool> Force = new("--force")
    {
        Description = "Start over, whatever an interrupted run left",
    };

    private static readonly Option<bool> Resume = new("--resume")
    {
        Description = "Continue an interrupted run on a block device, which is written from its start otherwise",
    };

    /// <summary>How long a registry that went away is waited for.</summary>
    internal static readonly Option<int> Retry = new("--retry")
    {
        Description = "Seconds to wait for a registry that went away before giving up",
        DefaultValueFactory = _ => 60,
    };

    private static readonly Option<bool> Thin = new("--thin")
    {
        Description = "Make a qcow2 overlay on a base that this host keeps in --cache",
    };

    /// <summary>Whether the store itself is read.</summary>
    internal static readonly Option<bool> Direct = new("--direct")
    {
        Description = "Read from the store itself; the registry must be set up to allow it",
    };

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var command = new Command("provision", """
            Make an instance's disk from a stored image, moving only what the image allocates.

            Zeroes are neither sent nor written; the file is sparse. Growing is part of the same pass.
              registry provision debian --to disk.raw
              registry provision debian --to disk.qcow2 --format qcow2 --size 12G
              registry provision debian --to /dev/vg0/instance1

            A file has its name only when it is whole, and an existing one is replaced only with --overwrite. A run that was
            interrupted leaves its work marked as unfinished (.NAME.part beside the file, or the device itself): the same
            command continues it, for a device with --resume.

              registry provision debian --to disk.qcow2 --thin --cache /var/cache/registry
            brings the image once to each host, and makes each further disk from it in a moment, as an overlay that
            needs the base to stay where it is. See 'registry cache --help'.

              registry provision debian --to disk.raw --direct
            gets addresses from the registry under which the bytes are read in the S3 store itself, and verified here.
            """) {
            Name, To, Format, Size, Force, Resume, Retry, Thin, Direct, CacheCommand.Directory, CacheCommand.Most,
        };
        TargetRules.AddTo(command);
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var report = parsed.GetValue(Thin)
                ? await ThinAsync(parsed, cancellationToken)
                : await WholeAsync(parsed, cancellationToken);
            report.Print(output.IsJson(parsed));
            return 0;
        });
        return command;
    }

    /// <summary>Writes an image's disk to a file or block device.</summary>
    /// <param name="path">The file or device.</param>
    /// <param name="mark">What it is to become.</param>
    /// <param name="rules">What may be done to a file that exists.</param>
    /// <param name="parsed">The command line: how the disk is read, and what an interrupted run's work is worth.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public static async Task<DiskDownload.Outcome> DownloadAsync(
        string path, ProvisionMark mark, TargetRules rules, ParseResult parsed, CancellationToken cancellationToken)
    {
        // A raw disk needs no gRPC, which takes a new process a while.
        var (isDirect, isQcow) = (parsed.GetValue(Direct), mark.Format == "qcow2");
        using var registry = isDirect || isQcow
            ? await ConnectionOptions.ConnectAsync(parsed, cancellationToken)
            : null;
        await using var store = isDirect
            ? await StoreFeed.OpenAsync(registry!, mark.Image, cancellationToken)
            : null;
        using var feed = ConnectionOptions.FeedOf(parsed);
        await using var target = await ProvisionTarget.OpenAsync(
            path, mark, rules, StartOf(parsed), cancellationToken);
        var download = new DiskDownload(
            registry, store ?? (IDiskFeed)feed, mark.Image, target, isQcow, mark.Size,
            TimeSpan.FromSeconds(parsed.GetValue(Retry)));
        try
        {
            return await download.RunAsync(cancellationToken);
        }
        catch when (target.Offset > 0)
        {
            await Console.Error.WriteLineAsync(
                $"registry: {Sizes.Show(target.Offset)} of the disk are done; run the same command again to continue"
                + (target.IsDevice ? ", with --resume" : ""));
            throw;
        }
    }

    private static ProvisionStart StartOf(ParseResult parsed) => (parsed.GetValue(Force), parsed.GetValue(Resume)) switch
    {
        (true, true) => throw new CommandException("--force and --resume exclude each other"),
        (true, _) => ProvisionStart.Over,
        (_, true) => ProvisionStart.Resume,
        _ => ProvisionStart.Usual,
    };

    private static async Task<ProvisionReport> WholeAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        using var api = ConnectionOptions.ImageApiOf(parsed);
        var (id, digest) = await api.FindDigestAsync(parsed.GetValue(Name)!, cancellationToken);
        var path = parsed.GetValue(To)!;
        var mark = ProvisionMark.Of(id, digest, parsed.GetValue(Format) ?? "raw", parsed.GetValue(Size) ?? 0);
        var outcome = await DownloadAsync(path, mark, TargetRules.Of(parsed), parsed, cancellationToken);
        return new ProvisionReport(id, path, mark.Format, outcome);
    }

    private static async Task<ProvisionReport> ThinAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        if (parsed.GetValue(Format) == "raw")
        {
            throw new CommandException("a thin disk is a qcow2 file");
        }

        var rules = TargetRules.Of(parsed);
        ImageCache.RequirePlace(parsed.GetValue(To)!, rules);

        using var api = ConnectionOptions.ImageApiOf(parsed);
        var (id, digest) = await api.FindDigestAsync(parsed.GetValue(Name)!, cancellationToken);
        var (path, size) = (parsed.GetValue(To)!, 0L);
        using var cache = CacheCommand.Open(parsed);
        DiskDownload.Outcome? outcome = null;
        await cache.UseAsync(
            id,
            digest,
            async file => outcome = await DownloadAsync(
                file, ProvisionMark.Of(id, digest, "raw", 0), rules.ForReading, parsed, cancellationToken),
            async file => size = await cache.OverlayAsync(
                file, path, parsed.GetValue(Size), rules, cancellationToken),
            cancellationToken);
        if (outcome is not null && parsed.GetValue(CacheCommand.Most) is { } most)
        {
            await cache.PruneAsync(most, cancellationToken);
        }

        return new ProvisionReport(id, path, "qcow2", outcome) { ThinSize = size };
    }
}
