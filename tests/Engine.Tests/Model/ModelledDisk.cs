using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Qcow2.Writing;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Model;

/// <summary>An image and, beside it, what it should hold: plain bytes for the disk and for each snapshot.</summary>
internal sealed partial class ModelledDisk : IAsyncDisposable
{
    private const int MaxSectors = 3000;

    private readonly DiskShape shape;
    private readonly MemoryGate gate;
    private readonly List<(string Name, byte[] Content)> snapshots = [];
    private QcowDisk disk;
    private byte[] content;
    private string? backingName;
    private int names;

    private ModelledDisk(DiskShape shape, MemoryBytes file, MemoryGate gate, QcowDisk disk)
    {
        this.shape = shape;
        this.gate = gate;
        this.disk = disk;
        File = file;
        content = new byte[shape.Sectors * 512];
        gate.Read("base.raw").AsSpan(0, Math.Min(content.Length, gate.Read("base.raw").Length)).CopyTo(content);
    }

    /// <summary>The image's bytes.</summary>
    public MemoryBytes File { get; }

    /// <summary>The files that the image may name.</summary>
    public IEnumerable<(string Name, byte[] Bytes)> Files => gate.All;

    /// <summary>What the disk should hold.</summary>
    public byte[] Content => content;

    /// <summary>What the snapshots should hold.</summary>
    public IReadOnlyList<(string Name, byte[] Content)> Snapshots => snapshots;

    private DiskOpenOptions Options => OptionsFor(shape, gate);

    private bool IsVersion2 => disk.Header.Version == 2;

    private bool HasBacking => backingName is not null;

    /// <summary>Makes an empty image.</summary>
    public static async Task<ModelledDisk> CreateAsync(DiskShape shape)
    {
        var gate = new MemoryGate();
        var random = new Random(shape.Sectors);
        foreach (var name in (string[])["base.raw", "other.raw"])
        {
            // Zeroes and noise, in pieces that clusters cut.
            var bytes = new byte[shape.BackingSectors * 512];
            for (var at = 0; at < bytes.Length; at += 3000)
            {
                if (random.Next(2) == 0)
                {
                    random.NextBytes(bytes.AsSpan(at, Math.Min(3000, bytes.Length - at)));
                }
            }

            gate.Add(name, bytes);
        }

        var file = new MemoryBytes();
        var disk = await QcowDisk.CreateAsync(file, shape.Options, OptionsFor(shape, gate), CancellationToken.None);
        return new ModelledDisk(shape, file, gate, disk)
        {
            backingName = shape.BackingSectors > 0 ? "base.raw" : null,
        };
    }

    /// <summary>Does a step to the image and to the model.</summary>
    public async Task DoAsync(DiskStep step)
    {
        var none = CancellationToken.None;
        var offset = (int)((long)content.Length * step.At >> 16);
        var length = (int)Math.Min(content.Length - offset, (content.Length / 4L * step.Size >> 16) + 1);
        var clusterSize = 1 << shape.ClusterBits;
        switch (step.Kind)
        {
            case DiskStepKind.Write:
                await disk.WriteAsync(offset, Fill(offset, length, step.Seed), none);
                break;
            case DiskStepKind.WriteSectors:
                offset &= ~511;
                length = Math.Min(content.Length - offset, (length + 511) & ~511);
                await disk.WriteAsync(offset, Fill(offset, length, step.Seed), none);
                break;
            case DiskStepKind.WriteCompressed:
                offset &= -clusterSize;
                length = Math.Min(clusterSize, content.Length - offset);
                if (length > 0 && !shape.IsEncrypted)
                {
                    await disk.WriteCompressedAsync(offset, Fill(offset, length, step.Seed | 1), none);
                }

                break;
            case DiskStepKind.Zero or DiskStepKind.ZeroKeeping:
                content.AsSpan(offset, length).Clear();
                RecordChange(offset, length);
                await disk.ZeroAsync(offset, length, step.Kind == DiskStepKind.Zero, none);
                break;
            case DiskStepKind.Discard:
                Discard(offset, length, clusterSize);
                await disk.DiscardAsync(offset, length, none);
                break;
            case DiskStepKind.Resize:
                await ResizeAsync((step.At % MaxSectors) * 512);
                break;
            case DiskStepKind.Preallocate:
                if (length > 0 && ((HasBacking && !shape.ExtendedL2) || (shape.IsEncrypted && IsVersion2)))
                {
                    await Assert.ThrowsAsync<DiskOperationException>(
                        () => disk.PreallocateAsync(offset, length, none).AsTask());
                    break;
                }

                await disk.PreallocateAsync(offset, length, none);
                break;
            case DiskStepKind.Flush:
                await disk.FlushAsync(none);
                break;
            case DiskStepKind.Reopen:
                await ReopenAsync();
                break;
            case DiskStepKind.Bitmap:
                await DoToBitmapsAsync(step);
                break;
            case DiskStepKind.Amend:
                await AmendAsync(step);
                break;
            case DiskStepKind.Commit:
                await CommitAsync();
                break;
            case DiskStepKind.Rebase:
                await RebaseAsync(step);
                break;
            default:
                await DoToSnapshotsAsync(step);
                break;
        }
    }

    /// <summary>Reads the whole disk as it is.</summary>
    public async Task<byte[]> ReadAsync()
    {
        Assert.Equal(content.Length, disk.VirtualSize);
        var bytes = new byte[content.Length];
        await disk.ReadAsync(0, bytes, CancellationToken.None);
        return bytes;
    }

    /// <summary>Reads the whole disk out of a copy of the image.</summary>
    public async Task<byte[]> ReadAsync(MemoryBytes copy)
    {
        await using var image = await QcowImage.OpenAsync(copy, Options, CancellationToken.None);
        var bytes = new byte[image.VirtualSize];
        await image.ReadAsync(0, bytes, CancellationToken.None);
        return bytes;
    }

    public ValueTask DisposeAsync() => disk.DisposeAsync();

    private byte[] Fill(int offset, int length, int seed)
    {
        var data = new byte[length];
        if ((seed & 1) != 0 && length > 0)
        {
            // Compresses well, differs from cluster to cluster.
            data.AsSpan().Fill((byte)seed);
            data[length / 2] = (byte)(seed >> 8);
        }
        else
        {
            new Random(seed).NextBytes(data);
        }

        data.CopyTo(content, offset);
        RecordChange(offset, length);
        return data;
    }

    private void Discard(int offset, int length, int clusterSize)
    {
        if (IsVersion2 && HasBacking)
        {
            return; // cannot say "zero" over a backing file
        }

        var start = (offset + clusterSize - 1) & -clusterSize;
        var end = offset + length == content.Length ? content.Length : (offset + length) & -clusterSize;
        if (start < end)
        {
            content.AsSpan(start, end - start).Clear();
            RecordChange(start, end - start);
        }
    }

    private async Task ResizeAsync(int size)
    {
        if ((IsVersion2 && snapshots.Count > 0) || (size == 0 && bitmaps.Count > 0))
        {
            await Assert.ThrowsAsync<DiskOperationException>(
                () => disk.ResizeAsync(size, CancellationToken.None).AsTask());
            return;
        }

        await disk.ResizeAsync(size, CancellationToken.None);
        Array.Resize(ref content, size);
        ResizeBitmaps(size);
    }

    private async Task ReopenAsync()
    {
        await disk.DisposeAsync();
        disk = await QcowDisk.OpenAsync(File, Options, CancellationToken.None);
    }

    private async Task DoToSnapshotsAsync(DiskStep step)
    {
        var none = CancellationToken.None;
        if (step.Kind == DiskStepKind.Snapshot)
        {
            var name = $"snap{++names}";
            if (disk.Header.RefcountOrder == 0)
            {
                await Assert.ThrowsAsync<DiskOperationException>(
                    () => disk.CreateSnapshotAsync(name, DateTimeOffset.UnixEpoch, none).AsTask());
                return;
            }

            // Narrow counts run out: shared compressed clusters and a snapshot more.
            if (disk.Header.RefcountOrder >= 3 && snapshots.Count < 5)
            {
                await disk.CreateSnapshotAsync(name, DateTimeOffset.UnixEpoch.AddSeconds(names), none);
                snapshots.Add((name, content.ToArray()));
            }

            return;
        }

        if (snapshots.Count == 0)
        {
            await Assert.ThrowsAsync<DiskOperationException>(() => disk.DeleteSnapshotAsync("none", none).AsTask());
            return;
        }

        var at = step.Seed % snapshots.Count;
        if (step.Kind == DiskStepKind.Apply)
        {
            if ((snapshots[at].Content.Length == 0 && bitmaps.Count > 0)
                || (IsVersion2 && snapshots[at].Content.Length != content.Length))
            {
                return;
            }

            var old = content;
            content = snapshots[at].Content.ToArray();
            try
            {
                await disk.ApplySnapshotAsync(snapshots[at].Name, none);
            }
            catch (DiskOperationException) when (disk.Header.RefcountOrder < 4)
            {
                content = old; // counts too narrow for two disks at once
                return;
            }

            ResizeBitmaps(content.Length);
            RecordChange(0, content.Length);
        }
        else
        {
            await disk.DeleteSnapshotAsync(snapshots[at].Name, none);
            snapshots.RemoveAt(at);
        }
    }
}
