namespace Registry.Engine.Qcow2;

/// <summary>The tables read last, up to a number of bytes; the one not used for longest goes first.</summary>
/// <param name="capacityBytes">Bytes kept at most; one table may exceed it.</param>
internal sealed class TableCache(int capacityBytes)
{
    private readonly Lock gate = new();
    private readonly Dictionary<(int Layer, long Offset), LinkedListNode<Entry>> byPlace = [];
    private readonly LinkedList<Entry> byAge = new();
    private long bytes;

    /// <summary>The table at a file offset of one of the files it is shared by, if it is kept.</summary>
    public bool TryGet(long offset, out ReadOnlyMemory<byte> table, int layer = 0)
    {
        lock (gate)
        {
            if (!byPlace.TryGetValue((layer, offset), out var node))
            {
                table = default;
                return false;
            }

            byAge.Remove(node);
            byAge.AddFirst(node);
            table = node.Value.Table;
            return true;
        }
    }

    /// <summary>Keeps a table, which must not change any more.</summary>
    public void Add(long offset, ReadOnlyMemory<byte> table, int layer = 0)
    {
        lock (gate)
        {
            if (byPlace.ContainsKey((layer, offset)))
            {
                return;
            }

            byPlace.Add((layer, offset), byAge.AddFirst(new Entry((layer, offset), table)));
            bytes += table.Length;
            while (bytes > capacityBytes && byAge.Count > 1)
            {
                var oldest = byAge.Last!;
                byAge.RemoveLast();
                byPlace.Remove(oldest.Value.Place);
                bytes -= oldest.Value.Table.Length;
            }
        }
    }

    private readonly record struct Entry((int Layer, long Offset) Place, ReadOnlyMemory<byte> Table);
}
