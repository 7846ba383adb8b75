using Registry.Engine.Convert;
using Registry.Engine.Qcow2;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Convert;

public sealed class UnfinishedTargetTests
{
    private const int Size = 3 << 20;
    private const int Step = 1 << 20;

    public static TheoryData<bool, bool, int> Cases =>
        [.. from isZero in new[] { true, false }
            from isQcow in new[] { true, false }
            from seed in Enumerable.Range(1, 6)
            select new TheoryDataRow<bool, bool, int>(isZero, isQcow, seed)];

    /// <summary>Interrupts at a random piece, again and again, and goes on from the mark.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public async Task However_often_it_is_interrupted_the_end_is_the_content(bool isZero, bool isQcow, int seed)
    {
        var random = new Random(seed);
        var content = Content(random);
        var device = new MemoryBytes(isZero ? [] : Noise(8 << 20));
        var allocated = new ClusterSet(Size >> 16);
        for (var cluster = 0; cluster < Size >> 16; cluster++)
        {
            if (content.AsSpan(cluster << 16, 1 << 16).ContainsAnyExcept((byte)0))
            {
                allocated.AddRange(cluster, cluster + 1);
            }
        }

        allocated.Seal();
        var layout = isQcow ? new QcowLayout(Size, allocated, QcowShape.Default) : null;
        for (var attempt = 0; !await TryAsync(device, isZero, layout, content, random, attempt < 8); attempt++)
        {
            var mark = await UnfinishedTarget.ReadMarkAsync(device, Disk.Stop);
            Assert.False(mark.Span.SequenceEqual(content.AsSpan(0, mark.Length)) && mark.Length > 0, "content shows");
        }

        var read = new byte[Size];
        if (layout is null)
        {
            await device.ReadAsync(0, read, Disk.Stop);
        }
        else
        {
            await using var image = await Disk.OpenQcow(device);
            Assert.Equal(Size, image.VirtualSize);
            await image.ReadAsync(0, read, Disk.Stop);
        }

        Assert.True(content.AsSpan().SequenceEqual(read));
    }

    private static async Task<bool> TryAsync(
        MemoryBytes device, bool isZero, QcowLayout? layout, byte[] content, Random random, bool mayFail)
    {
        var mark = System.Text.Encoding.ASCII.GetString(
            (await UnfinishedTarget.ReadMarkAsync(device, Disk.Stop)).Span).TrimEnd('\0');
        var from = mark.StartsWith('@')
            ? int.Parse(mark[1..], System.Globalization.CultureInfo.InvariantCulture)
            : 0;
        var target = new UnfinishedTarget(device, isZero);
        IDiskSink sink = layout is null
            ? new RawDiskSink(target, Size, targetIsZero: true)
            : new QcowDiskSink(target, layout);
        if (from > 0)
        {
            target.Resume(layout?.HostEnd(from) ?? from);
            if (layout is null)
            {
                await sink.WriteAsync(0, content.AsMemory(0, UnfinishedTarget.MarkBytes), Disk.Stop);
            }
        }

        var failAt = mayFail ? random.Next(from, Size) : int.MaxValue;
        for (var position = from; position < Size; position += 4096)
        {
            if (position >= failAt)
            {
                return false;
            }

            var piece = content.AsMemory(position, 4096);
            if (piece.Span.ContainsAnyExcept((byte)0))
            {
                await sink.WriteAsync(position, piece, Disk.Stop);
            }

            var end = position + 4096;
            if (end % Step == 0)
            {
                await target.SettleAsync(
                    layout?.HostEnd(end) ?? end, System.Text.Encoding.ASCII.GetBytes($"@{end}"), Disk.Stop);
            }
        }

        await sink.CompleteAsync(Disk.Stop);
        await target.FinishAsync(layout?.Length ?? Size, Disk.Stop);
        return true;
    }

    private static byte[] Content(Random random)
    {
        var content = new byte[Size];
        for (var run = 0; run < 10; run++)
        {
            random.NextBytes(content.AsSpan(random.Next(Size - 100_000), random.Next(100_000)));
        }

        random.NextBytes(content.AsSpan(0, 1000));
        return content;
    }

    private static byte[] Noise(int length)
    {
        var noise = new byte[length];
        new Random(9).NextBytes(noise);
        return noise;
    }
}
