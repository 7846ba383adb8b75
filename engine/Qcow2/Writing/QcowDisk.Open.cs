using System.Buffers.Binary;
using System.Text;
using Registry.Engine.Bytes;
using Registry.Engine.Crypto;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2.Checking;

namespace Registry.Engine.Qcow2.Writing;

public sealed partial class QcowDisk
{
    private const int MaxL1Bytes = 32 << 20;

    /// <summary>Opens an image to change it. One that was not closed properly is repaired first where
    /// <see cref="Limits.RejectDirty"/> lets it in.</summary>
    /// <param name="file">Its bytes; stays the caller's.</param>
    /// <param name="options">What it may refer to (a data file must come as a <see cref="IByteFile"/>), the caps, the
    /// passphrase.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="ImageFormatException">Malformed, unsupported, refused, or in need of repair.</exception>
    public static async ValueTask<QcowDisk> OpenAsync(
        IByteFile file, DiskOpenOptions options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(options);
        if (!options.Limits.RejectDirty)
        {
            await RepairDirtyAsync(file, cancellationToken).ConfigureAwait(false);
        }

        options = options with { Limits = options.Limits with { RejectDirty = true, RejectCorrupt = true } };
        var image = await QcowImage.OpenAsync(file, options, cancellationToken).ConfigureAwait(false);
        try
        {
            var disk = new QcowDisk(file, image);
            await disk.LoadAsync(cancellationToken).ConfigureAwait(false);
            return disk;
        }
        catch
        {
            await image.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Makes an empty image.</summary>
    /// <param name="file">A file; what it holds is lost. Stays the caller's.</param>
    /// <param name="options">The image's shape.</param>
    /// <param name="open">What it may refer to (the backing and data files named must exist), the caps, the passphrase
    /// where it is to be encrypted.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="DiskOperationException">The options contradict each other or the format.</exception>
    public static async ValueTask<QcowDisk> CreateAsync(
        IByteFile file, QcowCreateOptions options, DiskOpenOptions open, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(open);
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        options.Shape.CheckedTableCount(options.Size);
        await WriteEmptyAsync(file, options, cancellationToken).ConfigureAwait(false);
        var disk = await OpenAsync(file, open, cancellationToken).ConfigureAwait(false);
        await disk.ExclusiveAsync(
            async () =>
            {
                // Not a resize: nothing of a backing file is to be hidden.
                var size = checked(options.Size + 511) & ~511L;
                var entries = options.Shape.CheckedTableCount(size);
                if (options.Luks is { } luks)
                {
                    await disk.EncryptAsync(luks, open, cancellationToken).ConfigureAwait(false);
                }

                await disk.GrowL1Async(entries, cancellationToken).ConfigureAwait(false);
                disk.header = disk.header with { Size = (ulong)size };
                await disk.WriteHeaderAsync(cancellationToken).ConfigureAwait(false);
                if (disk.HasDataFile)
                {
                    await disk.content.SetLengthAsync(size, cancellationToken).ConfigureAwait(false);
                }
            },
            cancellationToken).ConfigureAwait(false);
        return disk;
    }

    private static async ValueTask RepairDirtyAsync(IByteFile file, CancellationToken cancellationToken)
    {
        var head = new byte[QcowHeader.Version3Size];
        var read = await file.ReadAsync(0, head, cancellationToken).ConfigureAwait(false);
        if (QcowHeader.Parse(head.AsSpan(0, read)).Incompatible.HasFlag(QcowIncompatible.Dirty))
        {
            await QcowRepair.RepairAsync(file, QcowRepairMode.All, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Makes a new image, which has no content yet, an encrypted one.</summary>
    private async ValueTask EncryptAsync(LuksOptions luks, DiskOpenOptions open, CancellationToken cancellationToken)
    {
        if (open.Passphrase is null)
        {
            throw new DiskOperationException("An encrypted image needs a passphrase.");
        }

        var passphrase = await open.Passphrase(cancellationToken).ConfigureAwait(false);
        var made = LuksHeader.Create(passphrase.Span, luks);
        cipher = made.Cipher;
        var first = await StoreAsync(made.Bytes, cancellationToken).ConfigureAwait(false);
        var place = new byte[16];
        BinaryPrimitives.WriteInt64BigEndian(place, first << clusterBits);
        BinaryPrimitives.WriteInt64BigEndian(place.AsSpan(8), made.Bytes.Length);
        area[HeaderArea.Encryption] = place;
        await WriteAreaAsync(header with { CryptMethod = 2 }, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Writes an image of size 0: header, refcount table, one block, no L1 table.</summary>
    private static async ValueTask WriteEmptyAsync(
        IByteFile file, QcowCreateOptions options, CancellationToken cancellationToken)
    {
        var shape = options.Shape;
        var header = shape.Header(virtualSize: 0) with
        {
            RefcountTableOffset = (ulong)shape.ClusterSize,
            RefcountTableClusters = 1,
            Autoclear = options.IsDataFileRaw ? QcowAutoclear.RawDataFile : 0,
        };
        if (options.DataFileName is not null)
        {
            header = header with { Incompatible = header.Incompatible | QcowIncompatible.DataFile };
        }

        var area = HeaderArea.Empty();
        area.BackingName = options.BackingName;
        area[HeaderArea.BackingFormat] = Text(options.BackingFormat);
        area[HeaderArea.DataFile] = Text(options.DataFileName);
        area[HeaderArea.FeatureNames] = shape.Version == 2 ? null : HeaderArea.KnownFeatureNames();

        var bytes = new byte[3 * shape.ClusterSize];
        area.WriteTo(header, bytes.AsSpan(0, shape.ClusterSize));
        ToBytes([2UL << shape.ClusterBits]).CopyTo(bytes, shape.ClusterSize);
        for (var cluster = 0; cluster < 3; cluster++)
        {
            RefcountEntries.Set(bytes.AsSpan(2 * shape.ClusterSize), cluster, shape.RefcountOrder, 1);
        }

        await file.SetLengthAsync(0, cancellationToken).ConfigureAwait(false);
        await file.WriteAsync(0, bytes, cancellationToken).ConfigureAwait(false);
    }

    private static byte[]? Text(string? text) => text is null ? null : Encoding.UTF8.GetBytes(text);

    /// <summary>Reads the tables that are kept whole, and takes the image over: features that a writer must understand
    /// and does not are taken back.</summary>
    private async ValueTask LoadAsync(CancellationToken cancellationToken)
    {
        var cluster = new byte[ClusterSize];
        await file.ReadAsync(0, cluster, cancellationToken).ConfigureAwait(false);
        area = HeaderArea.Parse(cluster, header);
        ReplaceL1(await ReadWordsAsync((long)header.L1Offset, header.L1Entries, cancellationToken)
            .ConfigureAwait(false));
        var table = await ReadWordsAsync(
            (long)header.RefcountTableOffset,
            ((long)header.RefcountTableClusters << clusterBits) / 8,
            cancellationToken).ConfigureAwait(false);
        refcounts = new Refcounts(
            file, clusterBits, (int)header.RefcountOrder, table, (long)header.RefcountTableOffset);
        if (header.SnapshotCount > 0)
        {
            var snapshots = await QcowSnapshots.ReadAsync(file, header, cancellationToken).ConfigureAwait(false);
            snapshotTableBytes = snapshots.TableBytes;
        }

        const QcowAutoclear Kept = QcowAutoclear.Bitmaps | QcowAutoclear.RawDataFile;
        if ((header.Autoclear & ~Kept) != 0)
        {
            header = header with { Autoclear = header.Autoclear & Kept };
            await WriteHeaderAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Writes cluster 0 anew: header, extensions, backing name.</summary>
    private async ValueTask WriteAreaAsync(QcowHeader changed, CancellationToken cancellationToken)
    {
        var cluster = new byte[ClusterSize];
        changed = area.WriteTo(changed, cluster);
        await CommitAsync(cancellationToken).ConfigureAwait(false);
        header = changed with
        {
            RefcountTableOffset = header.RefcountTableOffset,
            RefcountTableClusters = header.RefcountTableClusters,
        };
        area.WriteTo(header, cluster);
        await file.WriteAsync(0, cluster, cancellationToken).ConfigureAwait(false);
        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
    }
}
