using System.Buffers.Binary;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>What a check must know of an image before it starts: the header and the extensions that point at
/// clusters.</summary>
/// <remarks>More forgiving than opening an image: a table may end outside the file, which is then found and counted.
/// What remains is refused as qemu-img refuses to open it.</remarks>
internal sealed record CheckedImage
{
    private const uint BackingFormatType = 0xE2792ACA;
    private const uint BitmapsType = 0x23852875;
    private const uint EncryptionType = 0x0537BE77;
    private const int MaxL1Bytes = 32 << 20;
    private const int MaxRefcountTableBytes = 8 << 20;
    private const int MaxSnapshots = 65536;
    private const int MaxBitmaps = 65535;
    private const ulong MaxOffset = long.MaxValue - (1L << 40);

    /// <summary>The header.</summary>
    public required QcowHeader Header { get; init; }

    /// <summary>Bytes of the file.</summary>
    public required long FileLength { get; init; }

    /// <summary>Where the bitmap directory is; null when there is none that holds.</summary>
    public QcowBitmapsExtension? Bitmaps { get; private set; }

    /// <summary>File offset of the LUKS header.</summary>
    public long EncryptionOffset { get; private set; }

    /// <summary>Bytes of the LUKS header; 0 when there is none.</summary>
    public long EncryptionLength { get; private set; }

    /// <summary>log2 of the cluster size.</summary>
    public int ClusterBits => (int)Header.ClusterBits;

    /// <summary>Cluster size in bytes.</summary>
    public int ClusterSize => Header.ClusterSize;

    /// <summary>Whether guest data is in another file.</summary>
    public bool HasDataFile => Header.Incompatible.HasFlag(QcowIncompatible.DataFile);

    /// <summary>Clusters of the file, the last one perhaps partial.</summary>
    public long FileClusters => ClustersOf(FileLength);

    /// <summary>Clusters that hold a number of bytes.</summary>
    public long ClustersOf(long bytes) => (bytes >> ClusterBits) + ((bytes & (ClusterSize - 1)) != 0 ? 1 : 0);

    /// <summary>How many clusters of a table the file has: the rest reads as zeroes.</summary>
    /// <param name="offset">First byte of the table.</param>
    /// <param name="clusters">Clusters that the header promises.</param>
    public long ClustersInside(long offset, long clusters) =>
        Math.Min(clusters, ClustersOf(Math.Max(0, FileLength - offset)));

    /// <summary>Whether an offset is a multiple of the cluster size.</summary>
    public bool IsAligned(ulong offset) => (offset & (ulong)(ClusterSize - 1)) == 0;

    /// <summary>Reads header and extensions.</summary>
    /// <exception cref="ImageFormatException">The image cannot be checked.</exception>
    public static async ValueTask<CheckedImage> ReadAsync(IByteSource source, CancellationToken cancellationToken)
    {
        var head = new byte[QcowHeader.Version3Size];
        var read = await source.ReadAsync(0, head, cancellationToken).ConfigureAwait(false);
        var header = QcowHeader.Parse(head.AsSpan(0, read));
        Validate(header);
        var cluster = new byte[header.ClusterSize];
        await source.ReadAsync(0, cluster, cancellationToken).ConfigureAwait(false);
        var image = new CheckedImage { Header = header, FileLength = source.Length };
        image.ReadExtensions(cluster);
        if (image.FileClusters > int.MaxValue)
        {
            throw new ImageFormatException(FormatError.TableTooLarge, "The file has too many clusters to be checked.");
        }

        return image;
    }

    private static void Validate(in QcowHeader header)
    {
        Require(header.ClusterBits is >= QcowHeader.MinClusterBits and <= QcowHeader.MaxClusterBits, "cluster size", 20);
        Require(
            header.Version == 2
            || (header.HeaderLength >= QcowHeader.Version3MinSize && header.HeaderLength <= header.ClusterSize),
            "header length",
            100);
        Require(header.RefcountOrder <= 6, "refcount width", 96);
        Require(header.CryptMethod <= 2, "encryption method", 32);
        Require(
            header.ClusterBits >= 14 || !header.Incompatible.HasFlag(QcowIncompatible.ExtendedL2), "cluster size", 20);
        Require(
            header.BackingNameOffset == 0
            || (header.BackingNameOffset <= (ulong)header.ClusterSize
                && header.BackingNameLength <= QcowHeader.MaxBackingNameBytes
                && header.BackingNameOffset + header.BackingNameLength <= (ulong)header.ClusterSize),
            "backing file's name",
            8);
        Require(
            header.Incompatible.HasFlag(QcowIncompatible.DataFile) || !header.Autoclear.HasFlag(QcowAutoclear.RawDataFile),
            "raw data file without a data file",
            88);
        QcowFeatureCheck.Refuse(
            header with { CryptMethod = 0 }, new QcowHeaderExtensions(), Limits.Local with { RejectCorrupt = false });
        RequireTable(header, header.RefcountTableOffset, header.RefcountTableClusters, header.ClusterSize,
            MaxRefcountTableBytes, "refcount table", 48);
        RequireTable(header, header.L1Offset, header.L1Entries, 8, MaxL1Bytes, "L1 table", 40);
        RequireTable(header, header.SnapshotsOffset, header.SnapshotCount, 40, MaxSnapshots * 40, "snapshot table", 64);
        var needed = (header.Size / (ulong)header.L2Coverage) + (header.Size % (ulong)header.L2Coverage != 0 ? 1UL : 0);
        Require(header.Size <= MaxOffset && header.L1Entries >= needed, "L1 table's length", 36);
    }

    private static void Require(bool condition, string what, long field)
    {
        if (!condition)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, $"The header is malformed: {what} out of range.", field);
        }
    }

    private static void RequireTable(
        in QcowHeader header, ulong offset, uint entries, long entrySize, long maxBytes, string what, long field)
    {
        if (entries > maxBytes / entrySize)
        {
            throw new ImageFormatException(FormatError.TableTooLarge, $"The {what} is too large.", field);
        }

        if (offset > MaxOffset || (offset & (ulong)(header.ClusterSize - 1)) != 0)
        {
            throw new ImageFormatException(
                FormatError.Misaligned, $"The {what} at {offset} is not aligned to a cluster.", field);
        }
    }

    private void ReadExtensions(ReadOnlySpan<byte> cluster)
    {
        var end = Header.BackingNameOffset != 0 ? (int)Header.BackingNameOffset : cluster.Length;
        var hasEncryption = false;
        for (var position = (int)Header.HeaderLength; position + 8 <= end;)
        {
            var type = BinaryPrimitives.ReadUInt32BigEndian(cluster[position..]);
            var length = BinaryPrimitives.ReadUInt32BigEndian(cluster[(position + 4)..]);
            position += 8;
            if (length > end - position)
            {
                throw Invalid($"The header extension 0x{type:x8} ends outside its area.", position);
            }

            if (type == 0)
            {
                break;
            }

            var data = cluster.Slice(position, (int)length);
            switch (type)
            {
                case BackingFormatType when length >= 16:
                    throw Invalid("The backing format's name is longer than 15 bytes.", position);
                case BitmapsType:
                    ReadBitmaps(data, position);
                    break;
                case EncryptionType:
                    ReadEncryption(data, position);
                    hasEncryption = true;
                    break;
            }

            position += (int)((length + 7) & ~7u);
        }

        if (Header.CryptMethod == 2 && !hasEncryption)
        {
            throw Invalid("The image is encrypted with LUKS but has no LUKS header.", 32);
        }
    }

    private void ReadBitmaps(ReadOnlySpan<byte> data, int position)
    {
        if (data.Length != 24)
        {
            throw Invalid("The bitmaps extension is not 24 bytes long.", position);
        }

        if (Header.Version < 3 || !Header.Autoclear.HasFlag(QcowAutoclear.Bitmaps))
        {
            return; // Written to by who knows no bitmaps: they hold no longer, their clusters are leaks.
        }

        var bitmaps = new QcowBitmapsExtension(
            Count: BinaryPrimitives.ReadUInt32BigEndian(data),
            DirectorySize: BinaryPrimitives.ReadUInt64BigEndian(data[8..]),
            DirectoryOffset: BinaryPrimitives.ReadUInt64BigEndian(data[16..]));
        if (BinaryPrimitives.ReadUInt32BigEndian(data[4..]) != 0
            || bitmaps.Count is 0 or > MaxBitmaps
            || bitmaps.DirectorySize is 0 or > 1024UL * MaxBitmaps
            || bitmaps.DirectoryOffset > MaxOffset
            || !IsAligned(bitmaps.DirectoryOffset))
        {
            throw Invalid("The bitmaps extension is malformed.", position);
        }

        Bitmaps = bitmaps;
    }

    private void ReadEncryption(ReadOnlySpan<byte> data, int position)
    {
        if (Header.CryptMethod != 2 || data.Length != 16)
        {
            throw Invalid("The encryption header extension is malformed or out of place.", position);
        }

        var offset = BinaryPrimitives.ReadUInt64BigEndian(data);
        var length = BinaryPrimitives.ReadUInt64BigEndian(data[8..]);
        if (!IsAligned(offset) || offset > MaxOffset || length > MaxOffset - offset)
        {
            throw Invalid("The LUKS header is not where it can be.", position);
        }

        EncryptionOffset = (long)offset;
        EncryptionLength = (long)length;
    }

    private static ImageFormatException Invalid(string message, long offset) =>
        new(FormatError.InvalidExtension, message, offset);
}
