namespace Registry.Engine.Tests.Corpus;

/// <summary>The images of the corpus.</summary>
internal static partial class CorpusImages
{
    private const int K = 1 << 10;
    private const int M = 1 << 20;

    /// <summary>Every image, each by a name of its own.</summary>
    public static IEnumerable<CorpusImage> All() =>
        [
            .. Clusters(), .. Refcounts(), .. Zeroes(), .. Compressed(), .. Subclusters(), .. Sizes(),
            .. Preallocated(), .. Chains(), .. MixedChains(), .. DataFiles(), .. Snapshots(), .. Encrypted(),
            .. Bitmaps(), .. Headers(), .. Written(),
        ];

    private static IEnumerable<CorpusImage> Clusters()
    {
        foreach (var compat in new[] { "0.10", "1.1" })
        {
            for (var bits = 9; bits <= 21; bits++)
            {
                var cluster = 1 << bits;
                var size = Math.Max(2 * M, cluster * 8L);
                yield return new(
                    $"clusters of {cluster}, compat {compat}",
                    folder => folder
                        .Create(size, $"compat={compat},cluster_size={cluster}")
                        .Fill("scattered", size, cluster, bits));
            }
        }
    }

    private static IEnumerable<CorpusImage> Refcounts()
    {
        foreach (var bits in new[] { 1, 2, 4, 8, 16, 32, 64 })
        {
            yield return new(
                $"refcounts of {bits} bits",
                folder => folder.Create(8 * M, $"refcount_bits={bits},cluster_size=4k").Fill("scattered", 8 * M, 4 * K));
            if (bits >= 4)
            {
                yield return new(
                    $"refcounts of {bits} bits, compressed",
                    folder => folder
                        .Create(4 * M, $"refcount_bits={bits},cluster_size=4k").Fill("compressed", 4 * M, 4 * K, bits));
            }
        }

        yield return new(
            "lazy refcounts",
            folder => folder.Create(8 * M, "lazy_refcounts=on").Fill("scattered", 8 * M, 64 * K));
    }

    private static IEnumerable<CorpusImage> Zeroes()
    {
        foreach (var compat in new[] { "0.10", "1.1" })
        {
            foreach (var cluster in new[] { 512, 4 * K, 64 * K, 2 * M })
            {
                var size = Math.Max(2 * M, cluster * 8L);
                yield return new(
                    $"zeroes in clusters of {cluster}, compat {compat}",
                    folder => folder
                        .Create(size, $"compat={compat},cluster_size={cluster}").Fill("zeroes", size, cluster, 3));
            }
        }
    }

    private static IEnumerable<CorpusImage> Compressed()
    {
        foreach (var type in new[] { "zlib", "zstd" })
        {
            foreach (var cluster in new[] { 512, 4 * K, 64 * K, 512 * K, 2 * M })
            {
                var size = Math.Max(2 * M, cluster * 10L);
                yield return new(
                    $"compressed by {type} in clusters of {cluster}",
                    folder => folder
                        .Create(size, $"compression_type={type},cluster_size={cluster}")
                        .Fill("compressed", size, cluster, 5));
                yield return new(
                    $"converted by {type} in clusters of {cluster}",
                    folder => folder.Raw("content.raw", Math.Max(3 * M, cluster * 2L) + 1536, cluster)
                        .Convert("content.raw", $"compression_type={type},cluster_size={cluster}", "-c"));
            }
        }

        yield return new(
            "compressed, compat 0.10",
            folder => folder.Raw("content.raw", 3 * M).Convert("content.raw", "compat=0.10", "-c"));
    }

    private static IEnumerable<CorpusImage> Subclusters()
    {
        foreach (var cluster in new[] { 16 * K, 32 * K, 64 * K, 256 * K, 2 * M })
        {
            var size = cluster * 8L;
            foreach (var content in new[] { "scattered", "zeroes", "compressed" })
            {
                if (content == "compressed")
                {
                    yield return new(
                        $"subclusters of {cluster / 32}, {content}",
                        folder => folder
                            .Create(cluster * 10L, $"extended_l2=on,cluster_size={cluster}")
                            .Fill(content, cluster * 10L, cluster, 9));
                    continue;
                }

                yield return new(
                    $"subclusters of {cluster / 32}, {content}",
                    folder => folder
                        .Create(size, $"extended_l2=on,cluster_size={cluster}").Fill(content, size, cluster / 16, 9));
                yield return new(
                    $"subclusters of {cluster / 32}, {content}, over a raw disk",
                    folder => folder
                        .Raw("base.raw", size - (cluster / 2))
                        .Overlay(folder["base.raw"], "raw", size, $"extended_l2=on,cluster_size={cluster}")
                        .Fill(content, size, cluster / 16, 11));
            }
        }
    }

    private static IEnumerable<CorpusImage> Sizes()
    {
        foreach (var size in new long[] { 0, 512, 1024, (64 * K) + 512, (3 * M) + 1536, (1 << 24) - 512 })
        {
            yield return new($"a disk of {size} bytes", folder => folder.Create(size).Io(Ends(size)));
        }

        foreach (var size in new[] { 1L << 40, (1L << 41) + 512 })
        {
            yield return new(
                $"a disk of {size} bytes", folder => folder.Create(size).Io(Ends(size)))
            { IsHuge = true };
        }

        foreach (var size in new[] { 1048476, 1048575, 65537 })
        {
            yield return new(
                $"a disk of {size} bytes, not whole sectors",
                folder => folder.Create(2 * M).Io(["write -P 5 0 2M"]).Poke(24, $"{size:x16}"));
        }

        foreach (var type in new[] { "zlib", "zstd" })
        {
            yield return new(
                $"a compressed tail by {type}",
                folder => folder.Create(M + 1536, $"compression_type={type}").Fill("tail", M + 1536, 64 * K));
        }
    }

    private static IEnumerable<CorpusImage> Preallocated()
    {
        foreach (var kind in new[] { "metadata", "falloc", "full" })
        {
            foreach (var extended in new[] { "on", "off" })
            {
                yield return new(
                    $"preallocation {kind}, subclusters {extended}",
                    folder => folder
                        .Create(4 * M, $"preallocation={kind},extended_l2={extended}")
                        .Io(["write -P 1 100k 300k", "write -z 2M 128k", "discard 3M 64k"]));
            }
        }
    }

    private static string[] Ends(long size) => size switch
    {
        0 => [],
        < 4096 => [$"write -P 3 0 {size}"],
        _ => ["write -P 3 0 512", $"write -P 4 {size - 1024} 1024", $"write -P 5 {size / 2 / 512 * 512} 1k"],
    };
}
