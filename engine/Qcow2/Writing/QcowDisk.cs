using System.Buffers.Binary;
using Registry.Engine.Bytes;
using Registry.Engine.Crypto;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

/// <summary>A qcow2 image that is changed in place: written, resized, snapshotted.</summary>
/// <remarks>
/// <code>
///   a change:  count clusters  ->  write content into them  ->  point at them (in memory)
///   a commit:  counts | barrier | L2 tables | barrier | L1 table | barrier | give back what nothing points at
/// </code>
/// Content goes to the file at once, metadata with <see cref="FlushAsync"/> or when too much of it has gathered,
/// always in
/// that order. So whatever instant the process ends at, everything flushed is there and the worst that remains is space
/// counted but not used. Calls may come from several threads; they are carried out one after the other. A failed write
/// leaves the object unusable, the file as safe as a crash would.
/// </remarks>
public sealed partial class QcowDisk : IDiskWriter, IAsyncDisposable
{
    private readonly IByteFile file;
    private readonly IByteFile content;
    private readonly QcowImage image;
    private DiskImage? backing;
    private readonly SemaphoreSlim turn = new(1, 1);
    private readonly int clusterBits;
    private readonly bool isExtended;
    private readonly L2Tables tables;
    private QcowHeader header;
    private HeaderArea area = HeaderArea.Empty();
    private Refcounts refcounts;
    private ulong[] l1 = [];
    private (int First, int End) dirtyL1;
    private long snapshotTableBytes;
    private SectorCipher? cipher;
    private bool isBroken;

    private QcowDisk(IByteFile file, QcowImage image)
    {
        this.file = file;
        this.image = image;
        content = image.DataFile is null
            ? file
            : image.DataFile as IByteFile
                ?? throw new DiskOperationException("The external data file is not open for writing.");
        cipher = image.Cipher;
        header = image.Header;
        backing = image.Backing;
        clusterBits = (int)header.ClusterBits;
        isExtended = header.L2EntrySize == 16;
        tables = new L2Tables(file, clusterBits, isExtended);
        refcounts = new Refcounts(file, clusterBits, (int)header.RefcountOrder, [], 0);
    }

    /// <summary>The header as it will be stored.</summary>
    public QcowHeader Header => header;

    /// <summary>Virtual size in bytes.</summary>
    public long VirtualSize => header.VirtualSize;

    /// <summary>Cluster size in bytes.</summary>
    public int ClusterSize => 1 << clusterBits;

    private int UnitSize => isExtended ? ClusterSize / 32 : ClusterSize;

    private bool IsEncrypted => header.CryptMethod != 0;

    /// <summary>The shape, as for a new image.</summary>
    public QcowShape Shape => QcowShape.Default with
    {
        Version = (int)header.Version,
        ClusterSize = ClusterSize,
        RefcountBits = 1 << (int)header.RefcountOrder,
        ExtendedL2 = isExtended,
    };

    /// <summary>Whether the content is in an external data file.</summary>
    public bool HasDataFile => header.Incompatible.HasFlag(QcowIncompatible.DataFile);

    /// <summary>Writes guest bytes.</summary>
    /// <param name="offset">First guest byte; offset + length is at most <see cref="VirtualSize"/>.</param>
    /// <param name="data">The bytes.</param>
    /// <param name="cancellationToken">Cancels; what of the bytes is written is then unspecified.</param>
    /// <exception cref="ImageFormatException">The image is damaged where it would be written.</exception>
    /// <exception cref="IOException">The file could not be read or written.</exception>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken) =>
        ChangeAsync(offset, data.Length, () => WriteGuestAsync(offset, data, cancellationToken), cancellationToken);

    /// <summary>Reads guest bytes. Fills the whole buffer.</summary>
    /// <param name="offset">First guest byte; offset + length is at most <see cref="VirtualSize"/>.</param>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="cancellationToken">Cancels the read.</param>
    /// <exception cref="ImageFormatException">The image is damaged where it was read.</exception>
    /// <exception cref="IOException">The file could not be read.</exception>
    public async ValueTask ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        CheckRange(offset, buffer.Length);
        await turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await ReadGuestAsync(offset, buffer, cancellationToken).ConfigureAwait(false);
            await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            turn.Release();
        }
    }

    /// <summary>Makes everything written so far survive a power cut.</summary>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <exception cref="IOException">Writing failed; the object must not be used any more.</exception>
    public ValueTask FlushAsync(CancellationToken cancellationToken) =>
        ExclusiveAsync(() => CommitAsync(cancellationToken), cancellationToken);

    /// <summary>Flushes and closes the image. The file stays the caller's.</summary>
    /// <exception cref="IOException">Writing failed.</exception>
    public async ValueTask DisposeAsync()
    {
        if (!isBroken)
        {
            await ExclusiveAsync(CloseAsync, CancellationToken.None).ConfigureAwait(false);
        }

        isBroken = true;
        if (image is not null)
        {
            await image.DisposeAsync().ConfigureAwait(false);
        }

        turn.Dispose();
    }

    private static ulong[] Words(ReadOnlySpan<byte> bytes)
    {
        var words = new ulong[bytes.Length / 8];
        for (var i = 0; i < words.Length; i++)
        {
            words[i] = BinaryPrimitives.ReadUInt64BigEndian(bytes[(i * 8)..]);
        }

        return words;
    }

    private static byte[] ToBytes(ReadOnlySpan<ulong> words)
    {
        var bytes = new byte[words.Length * 8];
        for (var i = 0; i < words.Length; i++)
        {
            BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(i * 8), words[i]);
        }

        return bytes;
    }

    private async ValueTask<ulong[]> ReadWordsAsync(long offset, long count, CancellationToken cancellationToken)
    {
        var bytes = new byte[count * 8];
        return await file.ReadAsync(offset, bytes, cancellationToken).ConfigureAwait(false) == bytes.Length
            ? Words(bytes)
            : throw new EndOfStreamException("The image's bytes end inside a table.");
    }

    private void CheckRange(long offset, long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, VirtualSize);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, VirtualSize - offset);
    }

    /// <summary>Carries out a change of guest content, alone.</summary>
    private ValueTask ChangeAsync(
        long offset, long length, Func<ValueTask> change, CancellationToken cancellationToken)
    {
        CheckRange(offset, length);
        return length == 0 ? ValueTask.CompletedTask : ExclusiveAsync(change, cancellationToken);
    }

    /// <summary>Carries out work alone. Refusals leave the object usable, every other failure does not.</summary>
    private async ValueTask ExclusiveAsync(Func<ValueTask> work, CancellationToken cancellationToken)
    {
        await turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            ObjectDisposedException.ThrowIf(isBroken, this);
            await work().ConfigureAwait(false);
        }
        catch (Exception e) when (e is not (DiskOperationException or ArgumentException))
        {
            isBroken = true;
            throw;
        }
        finally
        {
            turn.Release();
        }
    }
}
