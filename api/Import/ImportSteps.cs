using Microsoft.Extensions.Options;
using Registry.Api.Federation;
using Registry.Api.ImageData;
using Registry.Api.Images;
using Registry.Api.Jobs;
using Registry.Api.Locations;
using Registry.Api.Memory;
using Registry.Api.Metrics;
using Registry.Api.Outbound;
using Registry.Api.Ova;
using Registry.Api.Provisioning;
using Registry.Api.Stores;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Import;

/// <summary>What an import does to bytes before they are the image's: fetch, unpack or take the disk out, convert. Each step makes staged bytes
/// out of those before and is done once: whoever takes a killed import over goes on after the last.</summary>
internal sealed class ImportSteps(
    ImageStaging staging,
    StagingLedger ledger,
    ImageEditor editor,
    OutboundClient outbound,
    LocationSources locations,
    RemoteGlance remotes,
    TokenSeal seal,
    StoreSet stores,
    ReadShares shares,
    ProcessMemory memory,
    RegistryMetrics metrics,
    TimeProvider clock,
    IOptions<RegistryOptions> options)
{
    private readonly ImportSection _options = options.Value.Import;

    /// <summary>Brings staged bytes to where they can be judged and kept.</summary>
    /// <param name="run">The job, told how far it is.</param>
    /// <param name="order">What it is told.</param>
    /// <param name="image">The image, importing.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">The bytes cannot be had, or are refused.</exception>
    /// <exception cref="IOException">A store failed.</exception>
    public async Task<StagedBlob> RunAsync(
        JobRun run, ImportOrder order, Image image, CancellationToken cancellationToken)
    {
        var staged = await ledger.FindAsync(image.Id, cancellationToken)
            ?? await FetchAsync(run, order, image, cancellationToken);
        if (order.Location is not null)
        {
            return staged; // whoever names a location says what the bytes there are, and gets these
        }

        staged = await UnpackAsync(run, image, staged, cancellationToken);
        staged = await TakeOutAsync(run, image, staged, cancellationToken);
        return await ConvertAsync(run, image, staged, cancellationToken);
    }

    /// <summary>The formats that staged bytes are judged under.</summary>
    public (string Disk, string Container) FormatsOf(Image image, StagedBlob staged) => staged.Form switch
    {
        StagedForm.Converted => (_options.ConvertTo, "bare"),
        StagedForm.TakenOut => (image.DiskFormat!, "bare"),
        _ => (image.DiskFormat!, image.ContainerFormat!),
    };

    private bool Unpacks(Image image) => _options.Decompress && image.ContainerFormat == "bare";

    private bool Converts(Image image, string container) =>
        _options.ConvertTo.Length > 0 && _options.ConvertTo != image.DiskFormat && container == "bare"
            && image.DiskFormat is "raw" or "qcow2" or "vmdk" or "vhd" or "vhdx" or "vdi";

    private async Task<StagedBlob> FetchAsync(
        JobRun run, ImportOrder order, Image image, CancellationToken cancellationToken)
    {
        if (order.Location is { } location)
        {
            return await TakeOverAsync(run, order, location, image, cancellationToken);
        }

        if (order.Refusal is { } refusal)
        {
            throw refusal.ToException();
        }

        if (order.Remote is { } remote)
        {
            return await FetchAsync(run, order, remote, image, cancellationToken);
        }

        if (order.Uri is null)
        {
            throw new RegistryException(ErrorCode.Conflict, "The staged bytes are gone.", "nothing_staged");
        }

        var source = DownloadSource.OfUrl(outbound, outbound.Urls.Read(order.Uri));
        if (await ConvertAsync(run, order, source, image, cancellationToken) is { } converted)
        {
            return converted;
        }

        long? total = null;
        using var download = await WebDownload.OpenAsync(
            source, options.Value.Outbound, clock,
            bytes => run.Progress = new JobProgress("downloading", bytes, total), cancellationToken);
        total = download.Length;
        return await StageAsync(run, order, image, download, cancellationToken);
    }

    // Fetching and converting in one, where the disk can be read where it is.
    private async Task<StagedBlob?> ConvertAsync(
        JobRun run, ImportOrder order, DownloadSource source, Image image, CancellationToken cancellationToken)
    {
        if (!Converts(image, image.ContainerFormat!))
        {
            return null;
        }

        var disk = await WebDisk.OpenAsync(
            source, image.DiskFormat!, options.Value.Limits.ImageSizeCapBytes, Unpacks(image), options.Value.Outbound, clock,
            cancellationToken);
        return disk is null
            ? null
            : await ConvertAsync(
                run, image, disk, WebDisk.Reads, disk, stores.Get(order.Stores[0]), cancellationToken);
    }

    private async Task<StagedBlob> FetchAsync(
        JobRun run, ImportOrder order, RemoteImage remote, Image image, CancellationToken cancellationToken)
    {
        using var body = await remotes.OpenAsync(
            remote, seal.Open(run.Job.Secret, image.Id),
            bytes => run.Progress = new JobProgress("downloading", bytes, remote.Size), cancellationToken);
        return await StageAsync(run, order, image, body, cancellationToken);
    }

    // What is unpacked is judged when it is.
    private Task<StagedBlob> StageAsync(
        JobRun run, ImportOrder order, Image image, IUploadBody body, CancellationToken cancellationToken) =>
        staging.TakeAsync(
            new StagingTarget(image.Id, run.Job.Lease, stores.Get(order.Stores[0]), StagedForm.Received), body,
            Unpacks(image) ? IntakeJudge.Lenient : IntakeJudge.For(image.DiskFormat!, image.ContainerFormat),
            cancellationToken);

    private async Task<StagedBlob> TakeOverAsync(
        JobRun run, ImportOrder order, NewLocation location, Image image, CancellationToken cancellationToken)
    {
        long? total = null;
        using var body = await locations.OpenAsync(
            location, bytes => run.Progress = new JobProgress("reading", bytes, total), cancellationToken);
        total = body.Length;
        return await staging.TakeAsync(
            new StagingTarget(image.Id, run.Job.Lease, stores.Get(order.Stores[0]), StagedForm.Received), body,
            IntakeJudge.For(image.DiskFormat!, image.ContainerFormat), cancellationToken);
    }

    private async Task<StagedBlob> UnpackAsync(
        JobRun run, Image image, StagedBlob staged, CancellationToken cancellationToken)
    {
        if (!Unpacks(image) || staged.Form != StagedForm.Received)
        {
            return staged;
        }

        var blob = await OpenAsync(staged, cancellationToken);
        var head = new byte[Compression.HeadBytes];
        var read = await blob.ReadAsync(0, head.AsMemory(0, (int)Math.Min(head.Length, blob.Length)), cancellationToken);
        if (Compression.Find(head.AsSpan(0, read)) is not { } compression)
        {
            return staged;
        }

        await using var packed = new StagedStream(blob, 0, blob.Length, clock, memory.Whole);
        Stream unpacked;
        try
        {
            unpacked = await Compression.OpenAsync(compression, packed, cancellationToken);
        }
        catch (Exception e) when (packed.IsOfTheData(e))
        {
            throw Compression.Refusal(e);
        }

        await using var body = new UnpackedBody(
            packed, unpacked, _options.ExpansionMax, clock,
            bytes => run.Progress = new JobProgress("unpacking", Math.Min(bytes, blob.Length), blob.Length));
        return await staging.TakeAsync(
            new StagingTarget(image.Id, run.Job.Lease, stores.Get(staged.StoreId), StagedForm.Unpacked), body,
            IntakeJudge.For(image.DiskFormat!, image.ContainerFormat), cancellationToken);
    }

    // The properties first: once the disk is staged, the descriptor is gone.
    private async Task<StagedBlob> TakeOutAsync(
        JobRun run, Image image, StagedBlob staged, CancellationToken cancellationToken)
    {
        if (!_options.OpenOva || image.ContainerFormat != "ova" || staged.Form != StagedForm.Received)
        {
            return staged;
        }

        var blob = await OpenAsync(staged, cancellationToken);
        var wanted = OutboundSection.Split(_options.OvfProperties);
        var package = await OvaPackage.OpenAsync(blob, wanted, cancellationToken);
        var (disk, isPlain) = (package.Disk, !package.Descriptor.IsCompressed);
        await package.RequireDigestsAsync(member => isPlain && member == disk, cancellationToken);
        if (package.Descriptor.Properties.Count > 0)
        {
            await editor.ChangeAsync(
                image.Id, Viewer.System, found => Describe(found, package.Descriptor.Properties), cancellationToken);
        }

        var target = new StagingTarget(image.Id, run.Job.Lease, stores.Get(staged.StoreId), StagedForm.TakenOut);
        var judge = IntakeJudge.For(image.DiskFormat!, "bare");
        if (isPlain)
        {
            using var body = new OvaDisk(
                blob, disk, package.HashOf(disk),
                bytes => run.Progress = new JobProgress("taking the disk out", bytes, disk.Length));
            return await staging.TakeAsync(target, body, judge, cancellationToken);
        }

        await using var packed = new StagedStream(blob, disk.Offset, disk.Length, clock, memory.Whole);
        await using var unpacked = new UnpackedBody(
            packed, await Compression.OpenAsync("gzip", packed, cancellationToken), _options.ExpansionMax, clock,
            bytes => run.Progress = new JobProgress("unpacking the disk", Math.Min(bytes, disk.Length), disk.Length));
        return await staging.TakeAsync(target, unpacked, judge, cancellationToken);
    }

    private void Describe(Image image, IReadOnlyDictionary<string, string> properties)
    {
        foreach (var (name, value) in properties)
        {
            image.SetProperty(name, ImageRules.PropertyValue(name, value));
        }

        ImageRules.RequireCount("properties", image.Properties.Count, options.Value.Limits.Properties);
        image.Touch(clock.GetUtcNow());
    }

    private async Task<StagedBlob> ConvertAsync(
        JobRun run, Image image, StagedBlob staged, CancellationToken cancellationToken)
    {
        var container = FormatsOf(image, staged).Container;
        if (!Converts(image, container) || staged.Form == StagedForm.Converted || staged.DataLength == 0)
        {
            return staged;
        }

        // Only what is what it was declared to be, and safe, is read as a disk.
        var inspection = StagedForm.ReadInspection(staged);
        BlobIntake.RequireAccepted(UploadVerdict.Judge(image.DiskFormat!, container, inspection).Refusal);
        var format = image.DiskFormat == "raw" ? DiskFormat.Raw : inspection.Format;
        var reading = await shares.OpenAsync(
            async () => await StoredDisk.OpenAsync(
                await OpenAsync(staged, cancellationToken), image, format, metrics, cancellationToken),
            cancellationToken);
        return await ConvertAsync(
            run, image, reading.Open.Disk, reading.Share.Options, reading, stores.Get(staged.StoreId), cancellationToken);
    }

    private async Task<StagedBlob> ConvertAsync(
        JobRun run,
        Image image,
        DiskImage disk,
        DiskReadOptions reads,
        IAsyncDisposable owner,
        IBlobStore store,
        CancellationToken cancellationToken)
    {
        var target = _options.ConvertTo;
        long? total = null;
        await using var body = await ConvertedBody.OpenAsync(
            disk, reads, owner, target, disk.VirtualSize,
            bytes => run.Progress = new JobProgress("converting", bytes, total), cancellationToken);
        total = body.Length;
        return await staging.TakeAsync(
            new StagingTarget(image.Id, run.Job.Lease, store, StagedForm.Converted), body, IntakeJudge.For(target, "bare"),
            cancellationToken);
    }

    private ValueTask<StoredBlob> OpenAsync(StagedBlob staged, CancellationToken cancellationToken) =>
        StoredBlob.OpenAsync(
            stores, [staged.AsLocation(clock.GetUtcNow())], isCached: false, cancellationToken);
}
