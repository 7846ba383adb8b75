using FsCheck;
using FsCheck.Fluent;
using Registry.Engine.Disks;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Properties;

public sealed class AllocationMapProperties
{
    private const int Cluster = 65536;

    [Fact]
    public void Reading_a_map_gives_back_the_extents_that_were_written() => Property.Holds(
        Extents(),
        async extents => (await RoundTrip(extents)).SequenceEqual(extents),
        tests: 200);

    [Fact]
    public void Any_part_of_a_map_reads_as_that_part_of_the_whole() => Property.Holds(
        from extents in Extents()
        from a in Gen.Choose(0, 1000)
        from b in Gen.Choose(0, 1000)
        select (extents, a, b),
        async input =>
        {
            var size = input.extents[^1].End;
            var start = size / 1000 * Math.Min(input.a, input.b);
            var end = Math.Max(input.a, input.b) == 1000 ? size : size / 1000 * Math.Max(input.a, input.b);
            var map = await Open(await Encode(input.extents), input.extents);
            var part = await Disk.Map(map, start, end - start);
            return part.SequenceEqual(Clip(input.extents, start, end));
        },
        tests: 200);

    [Fact]
    public async Task A_map_of_many_pages_is_searched_and_read_through()
    {
        var extents = new List<Extent>();
        for (long i = 0; i < 100_000; i++)
        {
            extents.Add(new Extent(i * Cluster, Cluster, ExtentKind.Compressed, i * 30_011, 30_500 + (i % 512)));
        }

        var bytes = await Encode(extents);
        Assert.InRange(bytes.Length, 5 * 65536, 100_000 * 6);
        var map = await Open(bytes, extents);
        Assert.Equal(extents, await Disk.Map(map));
        Assert.Equal(extents.Skip(77_777).Take(2), await Disk.Map(map, (77_777L * Cluster) + 5, Cluster));
        Assert.Equal(100_000, ((MappedImage)map).Totals.Extents);
    }

    [Fact]
    public void A_map_with_flipped_bytes_is_refused_or_still_a_map() => Property.Holds(
        from extents in Extents()
        from position in Gen.Choose(0, int.MaxValue)
        from value in Gen.Choose(0, 255)
        select (extents, position, value),
        async input =>
        {
            var bytes = await Encode(input.extents);
            bytes[input.position % bytes.Length] = (byte)input.value;
            try
            {
                var image = await Open(bytes, input.extents);
                var position = 0L;
                foreach (var extent in await Disk.Map(image))
                {
                    if (extent.Start != position || extent.Length <= 0
                        || (extent.IsStored && (extent.Offset < 0 || extent.Offset >= image.Layer(0).Length)))
                    {
                        return false;
                    }

                    position = extent.End;
                }

                return position == image.VirtualSize;
            }
            catch (ImageFormatException)
            {
                return true;
            }
        },
        tests: 500);

    private static async Task<List<Extent>> RoundTrip(List<Extent> extents) =>
        await Disk.Map(await Open(await Encode(extents), extents));

    private static async Task<DiskImage> Open(byte[] bytes, List<Extent> extents) =>
        await MappedImage.OpenAsync(new MemoryBytes(bytes), new LongSource(StoredLength(extents)), Disk.Stop);

    private static async Task<byte[]> Encode(List<Extent> extents)
    {
        var image = new ListedImage(new LongSource(StoredLength(extents)), extents);
        var bytes = new MemoryStream();
        var isLast = false;
        await AllocationMapWriter.WriteAsync(
            image,
            async (page, stop) =>
            {
                Assert.False(isLast);
                Assert.InRange(page.Length, 1, 65536);
                isLast = page.Length < 65536;
                await bytes.WriteAsync(page, stop);
            },
            Disk.Stop);
        return bytes.ToArray();
    }

    private static long StoredLength(List<Extent> extents) => extents.Max(e => e.Offset + e.StoredLength) + 1;

    private static IEnumerable<Extent> Clip(List<Extent> extents, long start, long end)
    {
        foreach (var extent in extents.Where(e => start < end && e.End > start && e.Start < end))
        {
            var from = Math.Max(extent.Start, start);
            var until = Math.Min(extent.End, end);
            yield return extent.Kind switch
            {
                ExtentKind.Compressed => extent,
                ExtentKind.Data => new Extent(
                    from, until - from, ExtentKind.Data, extent.Offset + from - extent.Start, until - from),
                _ => new Extent(from, until - from, extent.Kind),
            };
        }
    }

    private static Gen<List<Extent>> Extents() =>
        from steps in Gen.NonEmptyListOf(
            from kind in Gen.Choose(0, 3)
            from clusters in Gen.Choose(1, 3000)
            from offset in Gen.Choose(0, int.MaxValue)
            from stored in Gen.Choose(1, 2 * Cluster)
            select (Kind: (ExtentKind)kind, Clusters: (long)clusters, Offset: (long)offset * 700, Stored: (long)stored))
        from tail in Gen.Choose(1, Cluster)
        select Build([.. steps], tail);

    private static List<Extent> Build(
        List<(ExtentKind Kind, long Clusters, long Offset, long Stored)> steps, int tail)
    {
        var extents = new List<Extent>();
        long position = 0;
        foreach (var (kind, clusters, offset, stored) in steps)
        {
            extents.Add(kind switch
            {
                ExtentKind.Compressed => new Extent(position, Cluster, kind, offset, stored),
                ExtentKind.Data => new Extent(position, clusters * Cluster, kind, offset, clusters * Cluster),
                _ => new Extent(position, clusters * Cluster, kind),
            });
            position = extents[^1].End;
        }

        // The disk may end inside its last cluster.
        extents.Add(new Extent(position, tail, ExtentKind.Compressed, 12345, 99));
        return extents;
    }
}
