using Microsoft.Extensions.Options;
using Registry.Api.Memory;
using Registry.Api.Provisioning;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Memory;

namespace Registry.Api.ImageData;

/// <summary>A blob that is committed in its store.</summary>
/// <param name="Summary">What the pass over its bytes found.</param>
/// <param name="Disk">The disk inside, where it was mapped.</param>
/// <param name="Root">What verifies it.</param>
internal sealed record TakenBlob(UploadSummary Summary, IndexedDisk? Disk, BlobIndexSummary Root);

/// <summary>What decides whether bytes are taken.</summary>
/// <param name="Early">Called while they pass; answers why they are certain to be refused.</param>
/// <param name="Whole">Called when they are there; answers why they are refused.</param>
internal sealed record IntakeJudge(
    Func<FormatInspector, InspectionFailure?> Early, Func<Inspection, InspectionFailure?> Whole)
{
    private const string VolumesProperty = "block_device_mapping";

    /// <summary>Takes whatever the engine does not find dangerous.</summary>
    public static IntakeJudge Lenient { get; } = new(inspector => inspector.EarlyRefusal, _ => null);

    /// <summary>Takes what is of the formats that an image was declared to have.</summary>
    public static IntakeJudge For(string diskFormat, string? containerFormat, bool mayBeEmpty = false) => new(
        inspector => UploadVerdict.JudgeEarly(diskFormat, inspector),
        inspection => UploadVerdict.Judge(diskFormat, containerFormat, inspection, mayBeEmpty).Refusal);

    /// <summary>Takes what is of the formats that an image was declared to have, and no bytes for an image whose disks
    /// are volumes: a compute service registers a snapshot of such a machine as an empty qcow2.</summary>
    public static IntakeJudge For(Image image) =>
        For(image.DiskFormat!, image.ContainerFormat, image.FindProperty(VolumesProperty) is not null);
}

/// <summary>Takes bytes into a store in one pass: digests, inspection, block digests, allocation map and writer. Whoever
/// calls has promised the blob, and keeps the promise alive.</summary>
internal sealed class BlobIntake(ChunkPool pool, ProcessMemory memory, IOptions<RegistryOptions> options) : IDisposable
{
    /// <summary>Reason of a refusal: bits flipped between client and registry. The same may be sent again.</summary>
    public const string DamagedOnTheWay = "damaged_on_the_way";

    // What a pass holds besides chunks and the inspector's: the index under way and the stacks of two threads.
    private const int PassBytes = (170 + 128) << 10;

    // A table lies in the file, so a small file has none that is worth counting; the largest are 32 MiB.
    private const int LargeTablesBytes = 4 << 20;
    private const int TablesBytes = 48 << 20;

    private readonly SemaphoreSlim _largeTables = new((int)Math.Clamp(memory.Whole.Bytes / 2 / TablesBytes, 1, 64));

    /// <summary>Waits for the memory that a body of a client or a job takes on its way into a store.</summary>
    /// <param name="store">The store.</param>
    /// <param name="expectedLength">Bytes of the body; null when unknown.</param>
    /// <param name="projectId">The project of the client that sends; null for a job.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The memory; dispose it when the bytes are in the store.</returns>
    /// <exception cref="RegistryException">Busy: none became free in time.</exception>
    public ValueTask<MemoryShare> ReserveAsync(
        IBlobStore store, long? expectedLength, string? projectId, CancellationToken cancellationToken) => memory.TakeAsync(
        memory.Uploads,
        projectId,
        PassBytes + (UploadPass.ChunksMin * pool.ChunkBytes) + store.WriterBytes(expectedLength),
        cancellationToken);

    /// <summary>Takes a body to its end and commits the blob.</summary>
    /// <param name="store">The store.</param>
    /// <param name="key">The blob, which must not exist yet.</param>
    /// <param name="body">The bytes.</param>
    /// <param name="judge">What is refused.</param>
    /// <param name="patience">How long a chunk may take; null for what clients get.</param>
    /// <param name="cancellationToken">Ends the work; nothing is left behind.</param>
    /// <exception cref="RegistryException">TooLarge, BadRequest for another length than stated, ImageRejected.</exception>
    /// <exception cref="IOException">The sender went away or the store failed.</exception>
    public async Task<TakenBlob> TakeAsync(
        IBlobStore store,
        BlobKey key,
        IUploadBody body,
        IntakeJudge judge,
        TimeSpan? patience,
        CancellationToken cancellationToken)
    {
        await using var writer = await store.BeginAsync(key, body.Length, cancellationToken);
        return await TakeAsync(writer, body, judge, patience, check: null, cancellationToken);
    }

    /// <summary>Takes a body to its end and commits the blob.</summary>
    /// <param name="writer">Writes the blob; disposed by the caller.</param>
    /// <param name="body">The bytes.</param>
    /// <param name="judge">What is refused.</param>
    /// <param name="patience">How long a chunk may take; null for what clients get.</param>
    /// <param name="check">Called before the commit; throws what else is refused.</param>
    /// <param name="cancellationToken">Ends the work.</param>
    /// <exception cref="RegistryException">TooLarge, BadRequest for another length than stated, ImageRejected, and what
    /// <paramref name="check"/> throws.</exception>
    /// <exception cref="IOException">The sender went away or the store failed.</exception>
    public async Task<TakenBlob> TakeAsync(
        IBlobWriter writer,
        IUploadBody body,
        IntakeJudge judge,
        TimeSpan? patience,
        Action<UploadSummary>? check,
        CancellationToken cancellationToken)
    {
        var index = new BlobIndexWriter((page, token) => writer.AppendAsync(BlobPart.Index, page, token));
        var inspector = new FormatInspector();
        using var pass = new UploadPass(
            pool, writer, index, inspector, patience ?? options.Value.Uploads.ChunkPatience(pool.ChunkBytes));
        var summary = await pass.RunAsync(
            body, options.Value.Limits.ImageSizeCapBytes, () => RequireAccepted(judge.Early(inspector)),
            cancellationToken);
        RequireStated(body, summary);
        check?.Invoke(summary);
        RequireAccepted(judge.Whole(summary.Inspection));
        var disk = await MapAsync(writer, index, summary, cancellationToken);
        var root = await index.FinishAsync(cancellationToken);
        await writer.CommitAsync(cancellationToken);
        return new TakenBlob(summary, disk, root);
    }

    // The tables of a large image are held while its references are checked. That memory is beside the budget: a pass that
    // waited for it there while it holds its own part would keep the others from ending. Each check does a bounded amount of
    // work, so the wait for a turn is bounded as well.
    private async ValueTask<IndexedDisk?> MapAsync(
        IBlobWriter writer, BlobIndexWriter index, UploadSummary summary, CancellationToken cancellationToken)
    {
        if (summary.Length < LargeTablesBytes)
        {
            return await StoredDisk.IndexAsync(writer, index, summary.Inspection.Format, cancellationToken);
        }

        await _largeTables.WaitAsync(cancellationToken);
        try
        {
            return await StoredDisk.IndexAsync(writer, index, summary.Inspection.Format, cancellationToken);
        }
        finally
        {
            _largeTables.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _largeTables.Dispose();

    /// <summary>Refuses a stated length that no image may have.</summary>
    /// <exception cref="RegistryException">TooLarge.</exception>
    public void RequireLength(IUploadBody body)
    {
        var cap = options.Value.Limits.ImageSizeCapBytes;
        if (body.Length > cap)
        {
            throw new RegistryException(ErrorCode.TooLarge, $"The image is larger than the maximum of {cap} bytes.");
        }
    }

    // A bit that flips between client and registry is detected before the image is active.
    private static void RequireStated(IUploadBody body, UploadSummary summary)
    {
        if (body.Sha512 is { } stated && stated != summary.Sha512)
        {
            throw new RegistryException(
                ErrorCode.BadRequest,
                $"The SHA-512 of what arrived is {summary.Sha512}, not {stated}: it was damaged on its way here; send it again.",
                DamagedOnTheWay);
        }
    }

    /// <summary>Refuses bytes for a reason.</summary>
    /// <exception cref="RegistryException">ImageRejected, unless there is none.</exception>
    public static void RequireAccepted(InspectionFailure? refusal)
    {
        if (refusal is not null)
        {
            throw new RegistryException(ErrorCode.ImageRejected, refusal.Message, FormatErrors.Code(refusal.Error));
        }
    }
}
