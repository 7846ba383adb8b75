using System.Buffers.Binary;
using System.Text;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <summary>One internal snapshot, as the snapshot table has it.</summary>
/// <param name="Id">Its id, a decimal string by custom. Not escaped.</param>
/// <param name="Name">Its name. Not escaped.</param>
/// <param name="L1Offset">File offset of its L1 table, inside the file.</param>
/// <param name="L1Entries">Entries of its L1 table.</param>
/// <param name="Taken">When it was taken.</param>
/// <param name="GuestClock">How long the guest had run.</param>
/// <param name="VmStateBytes">Bytes of saved VM state.</param>
/// <param name="VirtualSize">Bytes of the disk then.</param>
public sealed record QcowSnapshot(
    string Id, string Name, long L1Offset, int L1Entries, DateTimeOffset Taken, TimeSpan GuestClock, long VmStateBytes,
    long VirtualSize)
{
    /// <summary>When it was taken, as it is stored: the nanoseconds within the second.</summary>
    public uint TakenNanoseconds { get; init; }

    /// <summary>How long the guest had run, in nanoseconds, as it is stored.</summary>
    public ulong GuestClockNanoseconds { get; init; }

    /// <summary>Instructions the guest had executed; null where they were not counted.</summary>
    public ulong? InstructionCount { get; init; }
}

/// <summary>The internal snapshots of an image.</summary>
/// <param name="Items">In the table's order.</param>
/// <param name="TableBytes">Bytes of the table.</param>
public sealed record QcowSnapshots(IReadOnlyList<QcowSnapshot> Items, long TableBytes)
{
    private const int FixedBytes = 40;
    private const int MaxExtraBytes = 1024;
    private const int MaxTableBytes = 64 << 20;
    private const int MaxEntryBytes = FixedBytes + MaxExtraBytes + (2 * ushort.MaxValue) + 8;

    /// <summary>Reads the snapshot table.</summary>
    /// <param name="source">The image's bytes.</param>
    /// <param name="header">Its header, validated.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException">An entry is malformed, or the table is too large or outside the
    /// file.</exception>
    public static async ValueTask<QcowSnapshots> ReadAsync(
        IByteSource source, QcowHeader header, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        if (header.SnapshotCount == 0)
        {
            return new QcowSnapshots([], 0);
        }

        var items = new List<QcowSnapshot>();
        var start = (long)header.SnapshotsOffset;
        var position = start;
        var buffer = new byte[1 << 20];
        var bufferStart = position;
        var buffered = 0;
        for (var i = 0u; i < header.SnapshotCount; i++)
        {
            var within = (int)(position - bufferStart);
            if (i == 0 || buffered - within < MaxEntryBytes)
            {
                bufferStart = position;
                within = 0;
                buffered = await source.ReadAsync(position, buffer, cancellationToken).ConfigureAwait(false);
            }

            items.Add(Parse(buffer.AsSpan(within, buffered - within), header, source.Length, position, out var bytes));
            position += bytes;
            if (position - start > MaxTableBytes)
            {
                throw new ImageFormatException(
                    FormatError.TableTooLarge, "The snapshot table is larger than 64 MiB.", start);
            }
        }

        return new QcowSnapshots(items, position - start);
    }

    /// <summary>Finds a snapshot as qemu-img does: by id, else by name.</summary>
    /// <param name="wanted">An id or name; <c>snapshot.id=ID</c> or <c>snapshot.name=NAME</c>, or both with a comma, to
    /// say which.</param>
    /// <exception cref="ImageFormatException"><see cref="FormatError.UnknownSnapshot"/>.</exception>
    public QcowSnapshot Find(string wanted)
    {
        ArgumentNullException.ThrowIfNull(wanted);
        string? id = null;
        string? name = null;
        if (wanted.StartsWith("snapshot.", StringComparison.Ordinal))
        {
            foreach (var part in wanted.Split(','))
            {
                (id, name) = part.Split('=', 2) switch
                {
                    ["snapshot.id", var value] => (value, name),
                    ["snapshot.name", var value] => (id, value),
                    _ => throw new ImageFormatException(
                        FormatError.UnknownSnapshot,
                        "A snapshot is named by its id or name, or by snapshot.id=ID,snapshot.name=NAME."),
                };
            }
        }

        var found = id is null && name is null
            ? Items.FirstOrDefault(item => item.Id == wanted) ?? Items.FirstOrDefault(item => item.Name == wanted)
            : Items.FirstOrDefault(item => (id is null || item.Id == id) && (name is null || item.Name == name));
        return found ?? throw new ImageFormatException(
            FormatError.UnknownSnapshot, "The image has no snapshot of that id or name.");
    }

    private static QcowSnapshot Parse(
        ReadOnlySpan<byte> entry, in QcowHeader header, long fileLength, long position, out int bytes)
    {
        Require(entry.Length >= FixedBytes, position);
        var l1Offset = BinaryPrimitives.ReadUInt64BigEndian(entry);
        var l1Entries = BinaryPrimitives.ReadUInt32BigEndian(entry[8..]);
        int idLength = BinaryPrimitives.ReadUInt16BigEndian(entry[12..]);
        int nameLength = BinaryPrimitives.ReadUInt16BigEndian(entry[14..]);
        var seconds = BinaryPrimitives.ReadUInt32BigEndian(entry[16..]);
        var nanoseconds = BinaryPrimitives.ReadUInt32BigEndian(entry[20..]);
        var clock = BinaryPrimitives.ReadUInt64BigEndian(entry[24..]);
        long vmState = BinaryPrimitives.ReadUInt32BigEndian(entry[32..]);
        var extraLength = BinaryPrimitives.ReadUInt32BigEndian(entry[36..]);
        var size = header.VirtualSize;
        if (extraLength > MaxExtraBytes)
        {
            throw new ImageFormatException(
                FormatError.TableTooLarge, "A snapshot has more than 1024 bytes of extra data.", position);
        }

        var names = FixedBytes + (int)extraLength;
        bytes = (names + idLength + nameLength + 7) & ~7;
        Require(entry.Length >= names + idLength + nameLength, position);
        if (extraLength >= 8)
        {
            vmState = BinaryPrimitives.ReadInt64BigEndian(entry[40..]);
        }

        if (extraLength >= 16)
        {
            size = BinaryPrimitives.ReadInt64BigEndian(entry[48..]);
        }

        ulong? count = extraLength >= 24 && BinaryPrimitives.ReadUInt64BigEndian(entry[56..]) is var instructions
            && instructions != ulong.MaxValue
            ? instructions
            : null;
        CheckL1(l1Offset, l1Entries, header, fileLength, position);
        return new QcowSnapshot(
            Id: Encoding.UTF8.GetString(entry.Slice(names, idLength)),
            Name: Encoding.UTF8.GetString(entry.Slice(names + idLength, nameLength)),
            L1Offset: (long)l1Offset,
            L1Entries: (int)l1Entries,
            Taken: DateTimeOffset.FromUnixTimeSeconds(seconds).AddTicks(nanoseconds / 100),
            GuestClock: TimeSpan.FromTicks((long)(clock / 100)),
            VmStateBytes: vmState,
            VirtualSize: size)
        {
            TakenNanoseconds = nanoseconds,
            GuestClockNanoseconds = clock,
            InstructionCount = count,
        };
    }

    private static void CheckL1(ulong offset, uint entries, in QcowHeader header, long fileLength, long position)
    {
        if (entries > 4 << 20)
        {
            throw new ImageFormatException(FormatError.TableTooLarge, "A snapshot's L1 table is too large.", position);
        }

        if ((offset & (ulong)(header.ClusterSize - 1)) != 0)
        {
            throw new ImageFormatException(
                FormatError.Misaligned, "A snapshot's L1 table is not aligned to a cluster.", position);
        }

        var bytes = (ulong)entries * 8;
        if (bytes > (ulong)fileLength || offset > (ulong)fileLength - bytes)
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, "A snapshot's L1 table ends outside the file.", position);
        }
    }

    private static void Require(bool condition, long position)
    {
        if (!condition)
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, "The snapshot table ends outside the file.", position);
        }
    }
}
