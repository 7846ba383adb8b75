using Registry.Engine.Qcow2;
using Registry.Engine.Qcow2.Writing;

namespace Registry.Torture;

/// <summary>A sequence of changes to a disk that follows from a seed alone, so that another process knows it
/// too.</summary>
public sealed class RandomWrites
{
    /// <summary>Bytes of the disk.</summary>
    public const int DiskBytes = 8 << 20;

    private const int MostBytes = 300 << 10;
    private const int FlushEvery = 6;

    private readonly int seed;

    /// <param name="seed">Everything follows from it.</param>
    public RandomWrites(int seed)
    {
        this.seed = seed;
        var random = new Random(seed);
        var shape = new QcowShape
        {
            ClusterSize = 1 << (random.Next(5) switch { 0 => 9, 1 => 12, 2 => 14, _ => 16 }),
            Version = random.Next(4) == 0 ? 2 : 3,
        };
        Shape = shape with
        {
            ExtendedL2 = shape.Version == 3 && shape.ClusterSize >= 16 << 10 && random.Next(3) == 0,
            RefcountBits = shape.Version == 3 ? 8 << random.Next(4) : 16,
        };
    }

    /// <summary>The image's shape.</summary>
    public QcowShape Shape { get; }

    /// <summary>Whether the disk is flushed after a change.</summary>
    public static bool IsFlushedAfter(int number) => number % FlushEvery == FlushEvery - 1;

    /// <summary>Makes a change to plain bytes.</summary>
    /// <param name="number">0 is the first.</param>
    /// <param name="disk">All bytes of the disk.</param>
    /// <returns>The bytes that may differ afterwards.</returns>
    public (int Offset, int Length) Apply(int number, Span<byte> disk)
    {
        var change = Change(number);
        var (offset, length) = change.Kind == 5 ? Whole(change.Offset, change.Length) : (change.Offset, change.Length);
        if (change.Kind >= 4)
        {
            disk.Slice(offset, length).Clear();
        }
        else
        {
            Content(number, change.Kind).AsSpan(0, length).CopyTo(disk[offset..]);
        }

        return (offset, length);
    }

    /// <summary>Makes a change to an image.</summary>
    public async Task ApplyAsync(int number, QcowDisk disk, CancellationToken cancellationToken)
    {
        var (kind, offset, length) = Change(number);
        switch (kind)
        {
            case 3:
                await disk.WriteCompressedAsync(offset, Content(number, kind).AsMemory(0, length), cancellationToken);
                break;
            case 4:
                await disk.ZeroAsync(offset, length, mayUnmap: number % 2 == 0, cancellationToken);
                break;
            case 5:
                await disk.DiscardAsync(offset, length, cancellationToken);
                break;
            default:
                await disk.WriteAsync(offset, Content(number, kind).AsMemory(0, length), cancellationToken);
                break;
        }
    }

    private (int Kind, int Offset, int Length) Change(int number)
    {
        var random = new Random(unchecked((seed * 31) ^ (number * 7919)));
        var kind = random.Next(6);
        var offset = random.Next(DiskBytes);
        if (kind == 3)
        {
            return (kind, offset & -Shape.ClusterSize, Shape.ClusterSize);
        }

        var length = 1 + random.Next(random.Next(3) == 0 ? MostBytes : 6000);
        return (kind, offset, Math.Min(length, DiskBytes - offset));
    }

    private (int Offset, int Length) Whole(int offset, int length)
    {
        var start = (offset + Shape.ClusterSize - 1) & -Shape.ClusterSize;
        var end = offset + length == DiskBytes ? DiskBytes : (offset + length) & -Shape.ClusterSize;
        return (Math.Min(start, DiskBytes), Math.Max(0, end - start));
    }

    private byte[] Content(int number, int kind)
    {
        var bytes = new byte[Math.Max(MostBytes, Shape.ClusterSize)];
        if (kind == 3)
        {
            bytes.AsSpan().Fill((byte)(number + 1)); // something to compress
        }
        else
        {
            new Random(unchecked((seed * 17) + number)).NextBytes(bytes);
        }

        return bytes;
    }
}
