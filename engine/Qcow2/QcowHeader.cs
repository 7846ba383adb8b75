using System.Buffers.Binary;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <summary>The fixed part of a qcow2 header, versions 2 and 3. All integers are big-endian.</summary>
/// <remarks>
/// <code>
///   0  u32 magic "QFI\xfb"             48  u64 refcount table offset
///   4  u32 version, 2 or 3             56  u32 refcount table clusters
///   8  u64 backing name offset, 0 none 60  u32 snapshots
///  16  u32 backing name bytes          64  u64 snapshot table offset
///  20  u32 cluster bits, 9 to 21       ---- version 3 ----
///  24  u64 virtual size                72  u64 incompatible  80 u64 compatible  88 u64 autoclear
///  32  u32 encryption                  96  u32 refcount order, 0 to 6
///  36  u32 L1 entries                 100  u32 header length
///  40  u64 L1 offset                  104  u8  compression type (when the header is longer than 104)
/// </code>
/// <see cref="Parse"/> takes the fields as they are; <see cref="Validate"/> judges them, before anything is allocated
/// or read because of them.
/// </remarks>
public readonly record struct QcowHeader
{
    /// <summary>"QFI" and 0xfb, read big-endian.</summary>
    public const uint Magic = 0x514649FB;

    /// <summary>Bytes of a version 2 header.</summary>
    public const int Version2Size = 72;

    /// <summary>Bytes of the shortest version 3 header.</summary>
    public const int Version3MinSize = 104;

    /// <summary>Bytes of the version 3 header that current writers write, compression type included.</summary>
    public const int Version3Size = 112;

    /// <summary>Smallest legal cluster: 512 bytes.</summary>
    public const int MinClusterBits = 9;

    /// <summary>Largest cluster QEMU and we accept: 2 MiB.</summary>
    public const int MaxClusterBits = 21;

    /// <summary>Longest backing name in bytes.</summary>
    public const int MaxBackingNameBytes = 1023;

    /// <summary>2 or 3.</summary>
    public uint Version { get; init; }

    /// <summary>File offset of the backing file's name; 0 when there is none.</summary>
    public ulong BackingNameOffset { get; init; }

    /// <summary>Bytes of the backing file's name.</summary>
    public uint BackingNameLength { get; init; }

    /// <summary>log2 of the cluster size, 9 to 21 once validated.</summary>
    public uint ClusterBits { get; init; }

    /// <summary>Virtual size in bytes as written; not necessarily a multiple of 512.</summary>
    public ulong Size { get; init; }

    /// <summary>0 none, 1 AES, 2 LUKS.</summary>
    public uint CryptMethod { get; init; }

    /// <summary>Entries of the active L1 table.</summary>
    public uint L1Entries { get; init; }

    /// <summary>File offset of the active L1 table, a multiple of the cluster size.</summary>
    public ulong L1Offset { get; init; }

    /// <summary>File offset of the refcount table, a multiple of the cluster size.</summary>
    public ulong RefcountTableOffset { get; init; }

    /// <summary>Length of the refcount table in clusters, at least 1.</summary>
    public uint RefcountTableClusters { get; init; }

    /// <summary>Number of internal snapshots.</summary>
    public uint SnapshotCount { get; init; }

    /// <summary>File offset of the snapshot table, a multiple of the cluster size.</summary>
    public ulong SnapshotsOffset { get; init; }

    /// <summary>Features that must be understood.</summary>
    public QcowIncompatible Incompatible { get; init; }

    /// <summary>Features that may be ignored.</summary>
    public QcowCompatible Compatible { get; init; }

    /// <summary>Features that an unknowing writer clears.</summary>
    public QcowAutoclear Autoclear { get; init; }

    /// <summary>log2 of the refcount width in bits, 0 to 6.</summary>
    public uint RefcountOrder { get; init; }

    /// <summary>Bytes of the header; extensions start here.</summary>
    public uint HeaderLength { get; init; }

    /// <summary>0 deflate, 1 zstd.</summary>
    public byte CompressionType { get; init; }

    /// <summary>Cluster size in bytes; call only once validated.</summary>
    public int ClusterSize => 1 << (int)ClusterBits;

    /// <summary>Bytes of one L2 entry: 8, or 16 with subclusters.</summary>
    public int L2EntrySize => Incompatible.HasFlag(QcowIncompatible.ExtendedL2) ? 16 : 8;

    /// <summary>Entries of one L2 table.</summary>
    public int L2Entries => ClusterSize / L2EntrySize;

    /// <summary>Guest bytes that one L2 table describes, at most 2^39.</summary>
    public long L2Coverage => (long)L2Entries << (int)ClusterBits;

    /// <summary>Virtual size in bytes as a guest sees it: rounded down to a sector of 512, as QEMU does.</summary>
    public long VirtualSize => (long)(Size & ~511UL);

    /// <summary>How compressed clusters are compressed.</summary>
    public ClusterCompression Compression =>
        CompressionType == 1 ? ClusterCompression.Zstd : ClusterCompression.Deflate;

    /// <summary>Whether the bytes start with the qcow magic number (any version).</summary>
    public static bool HasMagic(ReadOnlySpan<byte> head) =>
        head.Length >= 4 && BinaryPrimitives.ReadUInt32BigEndian(head) == Magic;

    /// <summary>Takes the fields from the first bytes of a file, without judging more than magic, version and
    /// length.</summary>
    /// <param name="head">The file's first bytes; 112 are enough.</param>
    /// <exception cref="ImageFormatException"><see cref="FormatError.BadMagic"/>,
    /// <see cref="FormatError.UnsupportedVersion"/> or <see cref="FormatError.Truncated"/>.</exception>
    public static QcowHeader Parse(ReadOnlySpan<byte> head)
    {
        if (!HasMagic(head))
        {
            throw new ImageFormatException(
                FormatError.BadMagic, "The file does not start with the qcow2 magic number.", 0);
        }

        if (head.Length < 8)
        {
            throw Truncated(head.Length);
        }

        var version = BinaryPrimitives.ReadUInt32BigEndian(head[4..]);
        if (version is not (2 or 3))
        {
            throw new ImageFormatException(
                FormatError.UnsupportedVersion, $"qcow version {version} is not supported; only 2 and 3 are.", 4);
        }

        if (head.Length < (version == 2 ? Version2Size : Version3MinSize))
        {
            throw Truncated(head.Length);
        }

        var header = new QcowHeader
        {
            Version = version,
            BackingNameOffset = BinaryPrimitives.ReadUInt64BigEndian(head[8..]),
            BackingNameLength = BinaryPrimitives.ReadUInt32BigEndian(head[16..]),
            ClusterBits = BinaryPrimitives.ReadUInt32BigEndian(head[20..]),
            Size = BinaryPrimitives.ReadUInt64BigEndian(head[24..]),
            CryptMethod = BinaryPrimitives.ReadUInt32BigEndian(head[32..]),
            L1Entries = BinaryPrimitives.ReadUInt32BigEndian(head[36..]),
            L1Offset = BinaryPrimitives.ReadUInt64BigEndian(head[40..]),
            RefcountTableOffset = BinaryPrimitives.ReadUInt64BigEndian(head[48..]),
            RefcountTableClusters = BinaryPrimitives.ReadUInt32BigEndian(head[56..]),
            SnapshotCount = BinaryPrimitives.ReadUInt32BigEndian(head[60..]),
            SnapshotsOffset = BinaryPrimitives.ReadUInt64BigEndian(head[64..]),
            RefcountOrder = 4,
            HeaderLength = Version2Size,
        };
        return version == 2 ? header : header.WithVersion3Fields(head);
    }

    /// <summary>Writes the header.</summary>
    /// <param name="destination">At least 72 bytes for version 2, 112 for version 3.</param>
    public void WriteTo(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, Magic);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], Version);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], BackingNameOffset);
        BinaryPrimitives.WriteUInt32BigEndian(destination[16..], BackingNameLength);
        BinaryPrimitives.WriteUInt32BigEndian(destination[20..], ClusterBits);
        BinaryPrimitives.WriteUInt64BigEndian(destination[24..], Size);
        BinaryPrimitives.WriteUInt32BigEndian(destination[32..], CryptMethod);
        BinaryPrimitives.WriteUInt32BigEndian(destination[36..], L1Entries);
        BinaryPrimitives.WriteUInt64BigEndian(destination[40..], L1Offset);
        BinaryPrimitives.WriteUInt64BigEndian(destination[48..], RefcountTableOffset);
        BinaryPrimitives.WriteUInt32BigEndian(destination[56..], RefcountTableClusters);
        BinaryPrimitives.WriteUInt32BigEndian(destination[60..], SnapshotCount);
        BinaryPrimitives.WriteUInt64BigEndian(destination[64..], SnapshotsOffset);
        if (Version == 2)
        {
            return;
        }

        BinaryPrimitives.WriteUInt64BigEndian(destination[72..], (ulong)Incompatible);
        BinaryPrimitives.WriteUInt64BigEndian(destination[80..], (ulong)Compatible);
        BinaryPrimitives.WriteUInt64BigEndian(destination[88..], (ulong)Autoclear);
        BinaryPrimitives.WriteUInt32BigEndian(destination[96..], RefcountOrder);
        BinaryPrimitives.WriteUInt32BigEndian(destination[100..], HeaderLength);
        destination[104..Version3Size].Clear();
        destination[104] = CompressionType;
    }

    /// <summary>Judges every field against the format, the limits and the file's length.</summary>
    /// <remarks>Features that are legal but refused (backing file, encryption and so on) are not judged here, except
    /// that what is needed to trust the fields is.</remarks>
    /// <param name="limits">The caps.</param>
    /// <param name="fileLength">Bytes of the file; <see cref="long.MaxValue"/> while it is not known.</param>
    /// <exception cref="ImageFormatException">A field is out of range, or a table too large, misaligned or outside the
    /// file.</exception>
    public void Validate(Limits limits, long fileLength)
    {
        if (ClusterBits is < MinClusterBits or > MaxClusterBits)
        {
            throw Invalid($"The cluster size is 2^{ClusterBits} bytes; 2^9 to 2^21 are supported.", 20);
        }

        if (Version == 3 && (HeaderLength < Version3MinSize || HeaderLength > ClusterSize))
        {
            throw Invalid($"The header length {HeaderLength} is outside 104 to one cluster.", 100);
        }

        if (RefcountOrder > 6)
        {
            throw Invalid($"The refcount width 2^{RefcountOrder} bits is beyond 64.", 96);
        }

        if (CryptMethod > 2)
        {
            throw Invalid($"The encryption method {CryptMethod} is not known.", 32);
        }

        if (Incompatible.HasFlag(QcowIncompatible.ExtendedL2) && ClusterBits < 14)
        {
            throw Invalid("Extended L2 entries need clusters of at least 16 KiB.", 20);
        }

        ValidateBackingName();
        ValidateSize(limits);
        ValidateTables(limits, fileLength);
    }

    private static ImageFormatException Truncated(int length) =>
        new(FormatError.Truncated, $"The file ends inside the qcow2 header, after {length} bytes.", length);

    private static ImageFormatException Invalid(string message, long offset) =>
        new(FormatError.InvalidHeader, message, offset);

    private QcowHeader WithVersion3Fields(ReadOnlySpan<byte> head)
    {
        var headerLength = BinaryPrimitives.ReadUInt32BigEndian(head[100..]);
        return this with
        {
            Incompatible = (QcowIncompatible)BinaryPrimitives.ReadUInt64BigEndian(head[72..]),
            Compatible = (QcowCompatible)BinaryPrimitives.ReadUInt64BigEndian(head[80..]),
            Autoclear = (QcowAutoclear)BinaryPrimitives.ReadUInt64BigEndian(head[88..]),
            RefcountOrder = BinaryPrimitives.ReadUInt32BigEndian(head[96..]),
            HeaderLength = headerLength,
            CompressionType = headerLength > 104 && head.Length > 104 ? head[104] : (byte)0,
        };
    }

    private void ValidateBackingName()
    {
        if (BackingNameOffset == 0)
        {
            return;
        }

        if (BackingNameLength > MaxBackingNameBytes
            || BackingNameOffset < HeaderLength
            || BackingNameOffset > (ulong)ClusterSize
            || BackingNameOffset + BackingNameLength > (ulong)ClusterSize)
        {
            throw Invalid("The backing file's name does not lie in the first cluster.", 8);
        }
    }

    private void ValidateSize(Limits limits)
    {
        if (Size > (ulong)limits.MaxVirtualSizeBytes)
        {
            throw new ImageFormatException(
                FormatError.VirtualSizeTooLarge,
                $"The virtual size {Size} is beyond the limit of {limits.MaxVirtualSizeBytes} bytes.", 24);
        }

        // The size as written: QEMU counts a last part of a sector here, though no guest sees it.
        var needed = (Size + (ulong)L2Coverage - 1) / (ulong)L2Coverage;
        if (L1Entries < needed)
        {
            throw Invalid($"The L1 table has {L1Entries} entries; {needed} are needed for the virtual size.", 36);
        }
    }

    private void ValidateTables(Limits limits, long fileLength)
    {
        var l1Bytes = (ulong)L1Entries * 8;
        var refcountBytes = (ulong)RefcountTableClusters << (int)ClusterBits;
        RequireAtMost(l1Bytes, (ulong)limits.MaxL1Bytes, "L1 table", 36);
        RequireAtMost(refcountBytes, (ulong)limits.MaxRefcountTableBytes, "refcount table", 56);
        RequireAtMost(SnapshotCount, (ulong)limits.MaxSnapshots, "snapshot table", 60);
        if (RefcountTableClusters == 0)
        {
            throw Invalid("The refcount table has no clusters.", 56);
        }

        // A snapshot is at least 40 bytes; the rest of the table is checked while it is read. QEMU checks its offset
        // also where there are no snapshots.
        RequireInside(L1Offset, l1Bytes, fileLength, "L1 table", 40);
        RequireInside(RefcountTableOffset, refcountBytes, fileLength, "refcount table", 48);
        var bytes = (ulong)SnapshotCount * 40;
        RequireInside(SnapshotsOffset, bytes, bytes > 0 ? fileLength : long.MaxValue, "snapshot table", 64);
    }

    private static void RequireAtMost(ulong value, ulong limit, string what, long field)
    {
        if (value > limit)
        {
            throw new ImageFormatException(
                FormatError.TableTooLarge, $"The {what} is too large: {value} exceeds {limit}.", field);
        }
    }

    private void RequireInside(ulong offset, ulong length, long fileLength, string what, long field)
    {
        if ((offset & (ulong)(ClusterSize - 1)) != 0)
        {
            throw new ImageFormatException(
                FormatError.Misaligned, $"The {what} at {offset} is not aligned to a cluster.", field);
        }

        // length is capped above, so the subtraction cannot wrap once offset is known to be small enough.
        if (length > (ulong)fileLength || offset > (ulong)fileLength - length)
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, $"The {what} at {offset} ends outside the file.", field);
        }

        if (length > 0 && offset == 0)
        {
            throw new ImageFormatException(
                FormatError.OverlapsMetadata, $"The {what} lies on the header.", field);
        }
    }
}
