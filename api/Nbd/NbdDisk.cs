using Registry.Api.Provisioning;
using Registry.Engine.Disks;

namespace Registry.Api.Nbd;

/// <summary>An image's disk, open once for all who export it, and until its last user leaves.</summary>
/// <param name="stored">The disk.</param>
/// <param name="closed">Told when it was closed.</param>
internal sealed class NbdDisk(StoredDisk stored, Action<NbdDisk> closed)
{
    private int _users = 1;

    /// <summary>The disk.</summary>
    public DiskImage Disk => stored.Disk;

    /// <summary>The image's id.</summary>
    public string ImageId => stored.Image.Id;

    /// <summary>The image's name; empty for none.</summary>
    public string ImageName => stored.Image.Name ?? "";

    /// <summary>What of it is at hand, by number; the cache's alone, under its lock.</summary>
    public Dictionary<long, LinkedListNode<(NbdDisk Disk, NbdChunk Chunk)>> Chunks { get; } = [];

    /// <summary>Chunks that are decoded together, 1 or more.</summary>
    public int ChunksTogether { get; } = stored.Disk.Compression == ClusterCompression.None
        ? 1
        : Math.Max(1, stored.Disk.ClusterSize / NbdChunk.Bytes);

    /// <summary>Chunks of the disk.</summary>
    public long ChunkCount { get; } = (stored.Disk.VirtualSize / NbdChunk.Bytes)
        + (stored.Disk.VirtualSize % NbdChunk.Bytes == 0 ? 0 : 1);

    /// <summary>Counts one more user, unless the last one has left.</summary>
    public bool TryAddUser()
    {
        for (var users = Volatile.Read(ref _users); users > 0;)
        {
            var seen = Interlocked.CompareExchange(ref _users, users + 1, users);
            if (seen == users)
            {
                return true;
            }

            users = seen;
        }

        return false;
    }

    /// <summary>Counts one user less, and closes the disk with the last one.</summary>
    public async ValueTask RemoveUserAsync()
    {
        if (Interlocked.Decrement(ref _users) == 0)
        {
            closed(this);
            await stored.DisposeAsync();
        }
    }
}
