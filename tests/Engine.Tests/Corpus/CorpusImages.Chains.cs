namespace Registry.Engine.Tests.Corpus;

/// <content>Images that refer to others.</content>
internal static partial class CorpusImages
{
    private static IEnumerable<CorpusImage> Chains()
    {
        foreach (var (size, what) in new[] { (4L * M, "as long"), (2 * M + 512, "shorter"), (6 * M, "longer"), (2 * M - 333, "of odd length") })
        {
            yield return new(
                $"over a raw disk {what}",
                folder => folder.Raw("base.raw", size).Overlay("base.raw", "raw", 4 * M).Fill("zeroes", 4 * M, 64 * K));
        }

        foreach (var (size, what) in new[] { (4L * M, "as long"), (2 * M + 512, "shorter"), (6 * M, "longer") })
        {
            yield return new(
                $"over a qcow2 disk {what}",
                folder => folder
                    .Create(size, "", "base.qcow2").Fill("zeroes", size, 64 * K, 2, "base.qcow2")
                    .Overlay("base.qcow2", "qcow2", 4 * M).Fill("zeroes", 4 * M, 64 * K));
        }

        yield return new(
            "three sizes, the shortest in the middle",
            folder => folder
                .Create(4 * M, "", "base.qcow2").Fill("scattered", 4 * M, 64 * K, 2, "base.qcow2")
                .Overlay("base.qcow2", "qcow2", M, "", "middle.qcow2").Fill("zeroes", M, 4 * K, 3, "middle.qcow2")
                .Overlay("middle.qcow2", "qcow2", 3 * M).Io(["write -P 9 512k 64k", "write -z 700k 64k"]));
        yield return new(
            "a qcow2 backing without a format",
            folder => folder
                .Create(2 * M, "", "base.qcow2").Fill("scattered", 2 * M, 64 * K, 2, "base.qcow2")
                .Overlay("base.qcow2", null, 2 * M).Io(["write -P 7 1M 4k"]));
        yield return new(
            "a raw backing without a format",
            folder => folder.Raw("base.raw", 2 * M).Overlay("base.raw", null, 2 * M).Io(["write -P 7 1M 4k"]));
        yield return new(
            "a raw backing that looks like qcow2",
            folder => folder
                .Create(2 * M, "", "base.raw").Fill("scattered", 2 * M, 64 * K, 2, "base.raw")
                .Overlay("base.raw", "raw", 2 * M).Io(["write -P 7 1M 4k"]));
        yield return new(
            "a backing name with a folder",
            folder =>
            {
                Directory.CreateDirectory(folder["sub"]);
                folder.Create(2 * M, "", "sub/base.qcow2").Fill("scattered", 2 * M, 64 * K, 2, "sub/base.qcow2")
                    .Overlay("base.qcow2", "qcow2", 2 * M, "", "sub/middle.qcow2")
                    .Overlay("sub/middle.qcow2", "qcow2", 2 * M).Io(["write -P 7 1M 4k"]);
            });
        yield return new(
            "an absolute backing name",
            folder => folder.Raw("base.raw", 2 * M).Overlay(folder["base.raw"], "raw", 2 * M).Io(["write -P 7 1M 4k"]));
        yield return new(
            "a backing name by file:",
            folder => folder.Raw("base.raw", 2 * M)
                .Overlay("file:" + folder["base.raw"], "raw", 2 * M).Io(["write -P 7 1M 4k"]));
        yield return new(
            "a backing name by nested json:",
            folder => folder.Create(2 * M, "", "base.qcow2").Fill("zeroes", 2 * M, 64 * K, 2, "base.qcow2")
                .Overlay(
                    $$"""json:{"driver":"qcow2","file":{"driver":"file","filename":"{{folder["base.qcow2"]}}"} }""",
                    "qcow2", 2 * M)
                .Io(["write -P 7 1M 4k"]));
        yield return new(
            "a backing name by flat json:",
            folder => folder.Raw("base.raw", 2 * M)
                .Overlay(
                    $$"""json:{"driver":"raw","file.driver":"file","file.filename":"{{folder["base.raw"]}}"}""",
                    "raw", 2 * M)
                .Io(["write -P 7 1M 4k"]));
        foreach (var depth in new[] { 3, 20, 60 })
        {
            yield return new($"a chain of {depth} overlays", folder => Deep(folder, depth));
        }
    }

    private static void Deep(CorpusFolder folder, int depth)
    {
        folder.Raw("0", 4 * M - 1000);
        for (var i = 1; i <= depth; i++)
        {
            var name = i == depth ? CorpusFolder.Disk : $"{i}";
            folder.Overlay($"{i - 1}", i == 1 ? "raw" : "qcow2", (4 * M) + (i % 3 * 65536L), "", name);
            folder.Io(
                [
                    $"write -P {i} {i * 131072L % (4 * M - 65536)} 64k", $"write -P {i} {i * 50000L / 512 * 512 % M} 512",
                    $"write -z {i * 393216L % (4 * M - 65536)} 64k",
                ],
                name);
        }
    }

    private static IEnumerable<CorpusImage> MixedChains()
    {
        foreach (var (top, below, type) in new[]
        {
            (64 * K, 2 * M, "zlib"), (64 * K, 2 * M, "zstd"), (512, 64 * K, "zlib"), (2 * M, 4 * K, "zstd"),
            (64 * K, 64 * K, "zstd"), (64 * K, 64 * K, "zlib"),
        })
        {
            var size = 8L * M;
            yield return new(
                $"clusters of {top} over clusters of {below} compressed by {type}",
                folder => folder
                    .Create(size, $"cluster_size={below},compression_type={type}", "base.qcow2")
                    .Io(Enumerable.Range(0, (int)(size / below / 2) is var count && count > 30 ? 30 : count)
                        .Select(i => $"write -c -P {i + 1} {i * 2L * below} {below}"), "base.qcow2")
                    .Overlay("base.qcow2", "qcow2", size, $"cluster_size={top}").Fill("zeroes", size, top, 5));
        }

        foreach (var below in new[] { 16 * K, 64 * K, 2 * M })
        {
            var size = 8L * M;
            yield return new(
                $"subclusters over compressed clusters of {below}",
                folder => folder
                    .Raw("content.raw", size)
                    .Made(() => QemuConvert(folder, below))
                    .Overlay("base.qcow2", "qcow2", size, "extended_l2=on")
                    .Io(["write -P 1 3k 1k", "write -z 100k 4k", "write -P 4 1M 70k", "write -z 2M 2k"]));
        }

        yield return new(
            "compat 0.10 over 1.1 over 0.10",
            folder => folder
                .Create(2 * M, "compat=0.10,cluster_size=4k", "a").Fill("scattered", 2 * M, 4 * K, 1, "a")
                .Overlay("a", "qcow2", 3 * M, "compat=1.1,cluster_size=64k", "b").Fill("zeroes", 3 * M, 64 * K, 2, "b")
                .Overlay("b", "qcow2", 3 * M, "compat=0.10,cluster_size=512").Fill("scattered", 3 * M, 512, 3));
        yield return new(
            "nothing but backing",
            folder => folder.Raw("base.raw", 4 * M).Overlay("base.raw", "raw", 4 * M));
        yield return new(
            "over a preallocated image",
            folder => folder
                .Create(4 * M, "preallocation=metadata", "base.qcow2").Io(["write -P 1 1M 300k"], "base.qcow2")
                .Overlay("base.qcow2", "qcow2", 4 * M).Io(["write -P 2 1100k 64k"]));
        yield return new(
            "over an image with a data file",
            folder => folder
                .Create(4 * M, $"data_file={folder["base.data"]}", "base.qcow2").Fill("zeroes", 4 * M, 64 * K, 2, "base.qcow2")
                .Overlay("base.qcow2", "qcow2", 4 * M).Fill("zeroes", 4 * M, 64 * K, 4));
    }

    private static void QemuConvert(CorpusFolder folder, int cluster) => Oracle.QemuImg.Run(
        "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", $"cluster_size={cluster}", folder["content.raw"],
        folder["base.qcow2"]);

    private static CorpusFolder Made(this CorpusFolder folder, Action action)
    {
        action();
        return folder;
    }

    private static IEnumerable<CorpusImage> DataFiles()
    {
        foreach (var raw in new[] { "on", "off" })
        {
            foreach (var extended in new[] { "on", "off" })
            {
                yield return new(
                    $"a data file, raw {raw}, subclusters {extended}",
                    folder => folder
                        .Create(
                            3 * M + 512, $"data_file={folder["disk.data"]},data_file_raw={raw},extended_l2={extended}")
                        .Io(["write -P 1 0 100k", "write -P 2 1027k 64k", "write -z 64k 64k", "discard 1M 64k"]));
            }
        }

        yield return new(
            "a data file under an overlay's clusters of 4 KiB",
            folder => folder
                .Create(3 * M, $"data_file={folder["disk.data"]},cluster_size=4k").Fill("zeroes", 3 * M, 4 * K));
        yield return new(
            "a data file that is preallocated",
            folder => folder
                .Create(3 * M, $"data_file={folder["disk.data"]},preallocation=metadata").Io(["write -P 1 0 100k"]));
        yield return new(
            "a data file over a backing file",
            folder => folder
                .Raw("base.raw", 2 * M)
                .Overlay("base.raw", "raw", 3 * M, $"data_file={folder["disk.data"]}").Fill("zeroes", 3 * M, 64 * K));
        yield return new(
            "a data file that ends early",
            folder => folder
                .Create(3 * M, $"data_file={folder["disk.data"]}").Io(["write -P 1 0 100k", "write -P 1 2M 1M"])
                .Made(() =>
                {
                    using var data = File.OpenWrite(folder["disk.data"]);
                    data.SetLength((2 * M) + 1000);
                }));
    }
}
