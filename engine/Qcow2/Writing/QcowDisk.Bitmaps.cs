using System.Buffers.Binary;
using System.Text;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

public sealed partial class QcowDisk
{
    private const int MaxBitmaps = 65535;
    private const int MaxBitmapNameBytes = 1023;
    private const long MaxBitmapBytes = 512L << 20;

    /// <summary>The bitmaps; null until they are needed.</summary>
    private List<StoredBitmap>? bitmaps;

    /// <summary>Adds a bitmap without a bit set.</summary>
    /// <param name="name">Its name, 1 to 1023 bytes of UTF-8, unique in the image.</param>
    /// <param name="granularity">Guest bytes that a bit stands for, a power of two from 512 to 2 GiB; null for the
    /// cluster size within 4 KiB to 64 KiB.</param>
    /// <param name="isEnabled">Whether writes set bits from now on.</param>
    /// <param name="cancellationToken">Cancels; the object is unusable then.</param>
    /// <exception cref="DiskOperationException">There is one of that name, or the image can hold none.</exception>
    public ValueTask AddBitmapAsync(
        string name, int? granularity, bool isEnabled, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        var chosen = granularity ?? Math.Clamp(ClusterSize, 4 << 10, 64 << 10);
        if (chosen < 512 || !int.IsPow2(chosen))
        {
            throw new DiskOperationException("Granularity must be a power of two from 512 bytes to 1 GiB.");
        }

        return ChangeBitmapsAsync(
            () =>
            {
                var bits = int.Log2(chosen);
                var entries = StoredBitmap.EntriesFor(VirtualSize, bits, ClusterSize);
                Refuse(header.Version < 3, "Cannot store dirty bitmaps in qcow2 v2 files");
                Refuse(bitmaps!.Exists(other => other.Name == name), $"Bitmap already exists: {name}");
                Refuse(bitmaps.Count >= MaxBitmaps, "Maximum number of persistent bitmaps is already reached");
                Refuse(Encoding.UTF8.GetByteCount(name) > MaxBitmapNameBytes, "Bitmap name is longer than 1023 bytes");
                Refuse(entries == 0, "A disk of no bytes cannot have bitmaps");
                Refuse(entries * ClusterSize > MaxBitmapBytes, "Too much bits: granularity is too small for the disk");
                bitmaps.Add(new StoredBitmap(name, bits, isEnabled ? QcowBitmapFlags.Auto : QcowBitmapFlags.None, [])
                {
                    Table = new ulong[entries],
                    IsChanged = true,
                });
                return ValueTask.CompletedTask;
            },
            cancellationToken);
    }

    /// <summary>Removes a bitmap, an inconsistent one too.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="cancellationToken">Cancels; the object is unusable then.</param>
    /// <exception cref="DiskOperationException">There is none of that name.</exception>
    public ValueTask RemoveBitmapAsync(string name, CancellationToken cancellationToken) => ChangeBitmapsAsync(
        async () =>
        {
            var bitmap = FindBitmap(name, mayBeInconsistent: true);
            await LoadTableAsync(bitmap, cancellationToken).ConfigureAwait(false);
            bitmaps!.Remove(bitmap);
            bitmap.ForgetChunks();
            abandoned.Add(bitmap);
        },
        cancellationToken);

    /// <summary>Clears all bits of a bitmap.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="cancellationToken">Cancels; the object is unusable then.</param>
    /// <exception cref="DiskOperationException">There is none of that name, or it is inconsistent.</exception>
    public ValueTask ClearBitmapAsync(string name, CancellationToken cancellationToken) => ChangeBitmapsAsync(
        async () =>
        {
            var bitmap = FindBitmap(name, mayBeInconsistent: false);
            await LoadTableAsync(bitmap, cancellationToken).ConfigureAwait(false);
            bitmap.ForgetChunks();
            for (var i = 0; i < bitmap.Table!.Length; i++)
            {
                ReleaseChunk(bitmap, i);
            }

            bitmap.IsChanged = true;
        },
        cancellationToken);

    /// <summary>Says whether writes set bits of a bitmap.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="isEnabled">Whether they do.</param>
    /// <param name="cancellationToken">Cancels; the object is unusable then.</param>
    /// <exception cref="DiskOperationException">There is none of that name, or it is inconsistent.</exception>
    public ValueTask EnableBitmapAsync(string name, bool isEnabled, CancellationToken cancellationToken) =>
        ChangeBitmapsAsync(
            () =>
            {
                var bitmap = FindBitmap(name, mayBeInconsistent: false);
                bitmap.Flags = isEnabled
                    ? bitmap.Flags | QcowBitmapFlags.Auto
                    : bitmap.Flags & ~QcowBitmapFlags.Auto;
                return ValueTask.CompletedTask;
            },
            cancellationToken);

    /// <summary>Sets bits of a bitmap: merges another one into it.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="ranges">Guest ranges whose bits are set, clipped to the disk.</param>
    /// <param name="cancellationToken">Cancels; the object is unusable then.</param>
    /// <exception cref="DiskOperationException">There is none of that name, or it is inconsistent.</exception>
    public ValueTask MergeBitmapAsync(
        string name, IReadOnlyList<(long Start, long Length)> ranges, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(ranges);
        return ChangeBitmapsAsync(
            async () =>
            {
                var bitmap = FindBitmap(name, mayBeInconsistent: false);
                foreach (var (start, length) in ranges)
                {
                    var end = Math.Min(VirtualSize, start + length);
                    await MarkAsync(bitmap, start, end - start, cancellationToken).ConfigureAwait(false);
                }
            },
            cancellationToken);
    }

    private static void Refuse(bool condition, string sentence)
    {
        if (condition)
        {
            throw new DiskOperationException(sentence);
        }
    }

    /// <summary>Changes the list of bitmaps and stores it at once.</summary>
    private ValueTask ChangeBitmapsAsync(Func<ValueTask> change, CancellationToken cancellationToken) =>
        ExclusiveAsync(
            async () =>
            {
                await LoadBitmapsAsync(cancellationToken).ConfigureAwait(false);
                await change().ConfigureAwait(false);
                await StoreBitmapsAsync(cancellationToken).ConfigureAwait(false);
            },
            cancellationToken);

    private StoredBitmap FindBitmap(string name, bool mayBeInconsistent)
    {
        var bitmap = bitmaps!.Find(bitmap => bitmap.Name == name)
            ?? throw new DiskOperationException($"Dirty bitmap '{name}' not found");
        Refuse(
            bitmap.IsInconsistent && !mayBeInconsistent,
            $"Bitmap '{name}' is inconsistent and cannot be used. Remove it.");
        return bitmap;
    }

    private async ValueTask LoadBitmapsAsync(CancellationToken cancellationToken)
    {
        if (bitmaps is not null)
        {
            return;
        }

        bitmaps = [];
        if (area[HeaderArea.Bitmaps] is not { } place || !header.Autoclear.HasFlag(QcowAutoclear.Bitmaps))
        {
            return; // none, or such as say nothing since a writer changed the disk that does not know them
        }

        // Judges the directory.
        await QcowBitmap.ReadAllAsync(file, header, image.Extensions, Limits.Local, cancellationToken)
            .ConfigureAwait(false);
        directory = (
            BinaryPrimitives.ReadInt64BigEndian(place.AsSpan(16)),
            BinaryPrimitives.ReadInt64BigEndian(place.AsSpan(8)));
        var bytes = new byte[directory.Length];
        await file.ReadAsync(directory.Offset, bytes, cancellationToken).ConfigureAwait(false);
        foreach (var (bitmap, position) in StoredBitmap.Split(bytes))
        {
            bitmaps.Add(bitmap);
            positions.Add(bitmap, position);
        }
    }
}
