using Registry.Engine.Bytes;
using Registry.Engine.Crypto;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <summary>An open qcow2 image, versions 2 and 3, to read: its active disk or one of its internal snapshots, with
/// everything below it in its backing chain.</summary>
/// <remarks>The fields of the header are trusted once open: everything they promise lies inside the file.
/// <see cref="MapAsync"/> turns L1 and L2 tables into extents; reading builds on it. What the image refers to is open
/// and closed with it.</remarks>
public sealed partial class QcowImage : DiskImage
{
    private const int TableCacheBytes = 16 << 20;

    private readonly Limits limits;
    private readonly bool isMetadataOnly;
    private readonly List<IAsyncDisposable> owned = [];
    private readonly TableCache tables = new(TableCacheBytes);

    private ulong[] l1 = [];
    private long virtualSize;
    private IByteSource? plain;
    private OpenedReference? backingReference;
    private BackingChain? chain;

    private QcowImage(
        IByteSource source, DiskOpenOptions options, QcowHeader header, QcowHeaderExtensions extensions)
    {
        Source = source;
        limits = options.Limits;
        isMetadataOnly = options.MetadataOnly;
        virtualSize = header.VirtualSize;
        Header = header;
        Extensions = extensions;
    }

    /// <summary>The header, validated.</summary>
    public QcowHeader Header { get; }

    /// <summary>The header extensions.</summary>
    public QcowHeaderExtensions Extensions { get; }

    /// <summary>The image's own file, as it is stored.</summary>
    public IByteSource Source { get; }

    /// <summary>The external data file, as it is stored; null where the image keeps its data itself.</summary>
    public IByteSource? DataFile { get; private set; }

    /// <summary>The path of <see cref="DataFile"/>.</summary>
    public string? DataFilePath { get; private set; }

    /// <summary>The image below; null where unallocated clusters are zeroes.</summary>
    public DiskImage? Backing { get; private set; }

    /// <summary>The path of <see cref="Backing"/>.</summary>
    public string? BackingPath { get; private set; }

    /// <summary>The LUKS header; null where the image is not encrypted so.</summary>
    public LuksHeader? Luks { get; private set; }

    /// <summary>What encrypts the data; null where nothing does, or there was no passphrase.</summary>
    public SectorCipher? Cipher { get; private set; }

    /// <summary>Whether sectors are numbered by the disk for <see cref="Cipher"/> (the legacy encryption); by the file
    /// otherwise.</summary>
    public bool IsCipherByGuest => Header.CryptMethod == 1;

    /// <summary>The snapshot that is open; null for the active disk.</summary>
    public QcowSnapshot? Snapshot { get; private set; }

    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Qcow2;

    /// <inheritdoc/>
    public override long VirtualSize => virtualSize;

    /// <inheritdoc/>
    public override int ClusterSize => Header.ClusterSize;

    /// <inheritdoc/>
    public override ClusterCompression Compression => Header.Compression;

    /// <inheritdoc/>
    public override IByteSource Layer(int depth)
    {
        if (Chain is { } images)
        {
            return images.Layer(depth);
        }

        ArgumentOutOfRangeException.ThrowIfNotEqual(depth, 0);
        return OwnBytes;
    }

    /// <summary>The internal snapshots.</summary>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException">The snapshot table is malformed.</exception>
    public ValueTask<QcowSnapshots> ReadSnapshotsAsync(CancellationToken cancellationToken) =>
        QcowSnapshots.ReadAsync(Source, Header, cancellationToken);

    /// <summary>The persistent bitmaps.</summary>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException">The bitmap directory is malformed.</exception>
    public ValueTask<IReadOnlyList<QcowBitmap>> ReadBitmapsAsync(CancellationToken cancellationToken) =>
        QcowBitmap.ReadAllAsync(Source, Header, Extensions, limits, cancellationToken);

    /// <summary>Maps the whole disk, judging every table entry, and sums it up.</summary>
    /// <remarks>With <see cref="Limits.RejectSharedClusters"/> every stored cluster may be referenced once at most and
    /// none may lie on metadata. Costs time in proportion to the file's tables, whatever they say.</remarks>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <exception cref="ImageFormatException">A table entry is malformed or forbidden.</exception>
    public async ValueTask<AllocationTotals> VerifyAsync(CancellationToken cancellationToken)
    {
        var totals = default(AllocationTotals);
        await foreach (var extent in MapAsync(0, VirtualSize, cancellationToken).ConfigureAwait(false))
        {
            totals = totals.With(extent);
        }

        return totals;
    }

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        if (Backing is not null)
        {
            await Backing.DisposeAsync().ConfigureAwait(false);
        }

        foreach (var reference in owned)
        {
            await reference.DisposeAsync().ConfigureAwait(false);
        }

        owned.Clear();
        Cipher?.Dispose();
        await base.DisposeAsync().ConfigureAwait(false);
    }

    private BackingChain? Chain
    {
        get
        {
            if (chain is null && Backing is not null)
            {
                Interlocked.CompareExchange(ref chain, new BackingChain(this), null);
            }

            return chain;
        }
    }
}
