using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

/// <summary>The L2 tables in memory, changed ones and such as were read lately.</summary>
/// <param name="file">The image.</param>
/// <param name="clusterBits">log2 of the cluster size.</param>
/// <param name="isExtended">Whether entries have subclusters.</param>
internal sealed class L2Tables(IByteFile file, int clusterBits, bool isExtended)
{
    private const int CacheBytes = 32 << 20;

    private readonly Dictionary<long, L2Table> tables = [];
    private long clock;

    /// <summary>Whether a table has entries that the file does not have.</summary>
    public bool IsDirty => tables.Values.Any(static table => table.IsDirty);

    /// <summary>Whether there are so many tables that some must be written before more are read.</summary>
    public bool IsFull => tables.Count >= Math.Max(4, CacheBytes >> clusterBits);

    /// <summary>The table at a file offset.</summary>
    /// <exception cref="ImageFormatException">There is no whole cluster at that offset.</exception>
    public async ValueTask<L2Table> GetAsync(long offset, CancellationToken cancellationToken)
    {
        if (!tables.TryGetValue(offset, out var table))
        {
            var size = 1 << clusterBits;
            if ((offset & (size - 1)) != 0)
            {
                throw new ImageFormatException(
                    FormatError.Misaligned, $"The L2 table at {offset} is not aligned to a cluster.", offset);
            }

            if (offset > file.Length - size)
            {
                throw new ImageFormatException(
                    FormatError.OutsideFile, $"The L2 table at {offset} ends outside the file.", offset);
            }

            var bytes = new byte[size];
            if (await file.ReadAsync(offset, bytes, cancellationToken).ConfigureAwait(false) < size)
            {
                throw new EndOfStreamException("The image's bytes end inside an L2 table.");
            }

            tables.Add(offset, table = new L2Table(offset, bytes, isExtended));
        }

        table.LastUse = ++clock;
        return table;
    }

    /// <summary>A new table, a copy of another one's entries or empty.</summary>
    /// <param name="offset">Where it will be stored.</param>
    /// <param name="from">What it is a copy of; null for an empty one.</param>
    public L2Table Add(long offset, L2Table? from)
    {
        var bytes = from is null ? new byte[1 << clusterBits] : (byte[])from.Bytes.Clone();
        var table = new L2Table(offset, bytes, isExtended) { LastUse = ++clock };
        table.Mark(isDirty: true);
        tables[offset] = table;
        return table;
    }

    /// <summary>Forgets a table whose cluster is no longer one.</summary>
    public void Forget(long offset) => tables.Remove(offset);

    /// <summary>Writes what the file does not have yet.</summary>
    public async ValueTask WriteAsync(CancellationToken cancellationToken)
    {
        foreach (var table in tables.Values)
        {
            if (table.IsDirty)
            {
                await file.WriteAsync(table.Offset, table.Bytes, cancellationToken).ConfigureAwait(false);
                table.Mark(isDirty: false);
            }
        }
    }

    /// <summary>Drops half of the tables, those not used for longest. All must have been written.</summary>
    public void Shrink()
    {
        foreach (var table in tables.Values.OrderBy(static table => table.LastUse).Take(tables.Count / 2).ToList())
        {
            tables.Remove(table.Offset);
        }
    }
}
