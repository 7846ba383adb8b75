using Microsoft.Win32.SafeHandles;

namespace Registry.Storage.Blobs;

/// <summary>Open files of committed blobs, a bounded number of them, so that a read does not begin with an
/// open.</summary>
/// <remarks>Committed blobs never change, so a handle is good for as long as it is open. One that is dropped while a
/// read still uses it is closed by the last reader.</remarks>
/// <param name="capacity">Most files kept open while nobody reads.</param>
internal sealed class OpenFiles(int capacity) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly Dictionary<(BlobKey Key, BlobPart Part), LinkedListNode<Entry>> _byName = [];
    private readonly LinkedList<Entry> _lastUsedFirst = [];
    private int _drops;

    /// <summary>Borrows the file of a part.</summary>
    /// <param name="key">The blob.</param>
    /// <param name="part">The part.</param>
    /// <param name="open">Opens it; null when there is none.</param>
    /// <returns>Null when there is none.</returns>
    public Lease? Rent(BlobKey key, BlobPart part, Func<BlobKey, BlobPart, SafeFileHandle?> open)
    {
        int drops;
        lock (_lock)
        {
            drops = _drops;
            if (_byName.TryGetValue((key, part), out var known))
            {
                _lastUsedFirst.Remove(known);
                _lastUsedFirst.AddFirst(known);
                known.Value.Users++;
                return new Lease(this, known.Value);
            }
        }

        if (open(key, part) is not { } handle)
        {
            return null;
        }

        var entry = new Entry(key, part, handle) { Users = 1 };
        lock (_lock)
        {
            // Somebody may have been faster, or the blob deleted since it was opened: then this one serves a single
            // read.
            if (drops == _drops && _byName.TryAdd((key, part), entry.Node))
            {
                entry.IsKept = true;
                _lastUsedFirst.AddFirst(entry.Node);
                DropOldest();
            }
        }

        return new Lease(this, entry);
    }

    /// <summary>Closes a blob's files, once nobody reads them.</summary>
    public void Drop(BlobKey key)
    {
        lock (_lock)
        {
            _drops++;
            foreach (var part in (ReadOnlySpan<BlobPart>)[BlobPart.Data, BlobPart.Index])
            {
                if (_byName.TryGetValue((key, part), out var node))
                {
                    Drop(node);
                }
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
        {
            while (_lastUsedFirst.Last is { } last)
            {
                Drop(last);
            }
        }
    }

    private void DropOldest()
    {
        while (_lastUsedFirst.Count > capacity)
        {
            Drop(_lastUsedFirst.Last!);
        }
    }

    private void Drop(LinkedListNode<Entry> node)
    {
        _lastUsedFirst.Remove(node);
        _byName.Remove((node.Value.Key, node.Value.Part));
        node.Value.IsKept = false;
        if (node.Value.Users == 0)
        {
            node.Value.Handle.Dispose();
        }
    }

    private void Return(Entry entry)
    {
        lock (_lock)
        {
            entry.Users--;
            if (entry.Users == 0 && !entry.IsKept)
            {
                entry.Handle.Dispose();
            }
        }
    }

    /// <summary>A borrowed file. Dispose it exactly once.</summary>
    public readonly struct Lease(OpenFiles files, Entry entry) : IDisposable
    {
        public SafeFileHandle Handle => entry.Handle;

        public void Dispose() => files.Return(entry);
    }

    /// <summary>An open file and the number of its users.</summary>
    internal sealed class Entry
    {
        public Entry(BlobKey key, BlobPart part, SafeFileHandle handle)
        {
            Key = key;
            Part = part;
            Handle = handle;
            Node = new LinkedListNode<Entry>(this);
        }

        public BlobKey Key { get; }

        public BlobPart Part { get; }

        public SafeFileHandle Handle { get; }

        public LinkedListNode<Entry> Node { get; }

        public int Users { get; set; }

        public bool IsKept { get; set; }
    }
}
