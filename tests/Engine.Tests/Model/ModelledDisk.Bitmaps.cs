using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Engine.Tests.Model;

/// <content>Bitmaps: a bit for each granule, set by what was done to the disk.</content>
internal sealed partial class ModelledDisk
{
    private readonly List<ModelledBitmap> bitmaps = [];
    private bool isBitmapExact = true;

    /// <summary>Fails unless the stored bitmaps have every bit that they should, and no other where that can be
    /// told.</summary>
    public async Task VerifyBitmapsAsync()
    {
        await using var image = await QcowImage.OpenAsync(File, Options, CancellationToken.None);
        var stored = await image.ReadBitmapsAsync(CancellationToken.None);
        Assert.Equal(bitmaps.Select(bitmap => bitmap.Name).Order(), stored.Select(bitmap => bitmap.Name).Order());
        foreach (var bitmap in bitmaps)
        {
            var found = stored.Single(other => other.Name == bitmap.Name);
            Assert.Equal(bitmap.IsEnabled, found.Flags.HasFlag(QcowBitmapFlags.Auto));
            var bits = new bool[bitmap.Bits.Length];
            await foreach (var (start, length) in found.RangesAsync(image, CancellationToken.None))
            {
                bits.AsSpan((int)(start / bitmap.Granularity), (int)((length - 1) / bitmap.Granularity) + 1).Fill(true);
            }

            for (var i = 0; i < bits.Length; i++)
            {
                Assert.True(
                    bits[i] == bitmap.Bits[i] || (bits[i] && !isBitmapExact),
                    $"Bit {i} of {bitmap.Name} should be {bitmap.Bits[i]}.");
            }
        }
    }

    private async Task DoToBitmapsAsync(DiskStep step)
    {
        var none = CancellationToken.None;
        if (IsVersion2 || content.Length == 0)
        {
            await Assert.ThrowsAsync<DiskOperationException>(() => disk.AddBitmapAsync("b", 512, true, none).AsTask());
            return;
        }

        if (bitmaps.Count == 0 || step.Seed % 6 == 0)
        {
            var added = new ModelledBitmap($"b{++names}", 512 << (step.At % 8), content.Length)
            {
                IsEnabled = step.Size % 4 != 0,
            };
            await disk.AddBitmapAsync(added.Name, added.Granularity, added.IsEnabled, none);
            bitmaps.Add(added);
            return;
        }

        var bitmap = bitmaps[step.At % bitmaps.Count];
        switch (step.Seed % 6)
        {
            case 1:
                await disk.RemoveBitmapAsync(bitmap.Name, none);
                bitmaps.Remove(bitmap);
                break;
            case 2:
                await disk.ClearBitmapAsync(bitmap.Name, none);
                Array.Clear(bitmap.Bits);
                break;
            case 3:
                bitmap.IsEnabled = !bitmap.IsEnabled;
                await disk.EnableBitmapAsync(bitmap.Name, bitmap.IsEnabled, none);
                break;
            default:
                var other = bitmaps[step.Size % bitmaps.Count];
                var ranges = other.Ranges(content.Length).ToList();
                await disk.MergeBitmapAsync(bitmap.Name, ranges, none);
                ranges.ForEach(range => bitmap.Mark(range.Start, range.Length));
                break;
        }
    }

    private void RecordChange(long offset, long length)
    {
        foreach (var bitmap in bitmaps.Where(bitmap => bitmap.IsEnabled))
        {
            bitmap.Mark(offset, length);
        }
    }

    private void ResizeBitmaps(long size)
    {
        // What is zeroed behind the old end counts as written or not, as it happens.
        isBitmapExact = false;
        bitmaps.ForEach(bitmap => bitmap.Resize(size));
    }

    private sealed class ModelledBitmap(string name, int granularity, long size)
    {
        public string Name { get; } = name;

        public int Granularity { get; } = granularity;

        public bool IsEnabled { get; set; }

        public bool[] Bits { get; private set; } = new bool[(size + granularity - 1) / granularity];

        public void Mark(long offset, long length)
        {
            if (length > 0)
            {
                var first = (int)(offset / Granularity);
                Bits.AsSpan(first, (int)((offset + length - 1) / Granularity) - first + 1).Fill(true);
            }
        }

        public void Resize(long size)
        {
            var bits = Bits;
            Array.Resize(ref bits, (int)((size + Granularity - 1) / Granularity));
            Bits = bits;
        }

        public IEnumerable<(long Start, long Length)> Ranges(long size)
        {
            for (var i = 0; i < Bits.Length; i++)
            {
                if (Bits[i])
                {
                    yield return ((long)i * Granularity, Math.Min(Granularity, size - ((long)i * Granularity)));
                }
            }
        }
    }
}
