using System.Diagnostics;
using System.Globalization;

namespace Registry.Bench;

/// <summary>Images to convert: a sparse disk like an installed system's, plain and compressed, and the shapes that
/// make a converter slow.</summary>
internal static class BenchImages
{
    private const int Chunk = 64 << 10;
    private const long DiskBytes = 10L << 30;
    private const long ContentBytes = 1L << 30;
    private const int ChainLevels = 200;

    /// <summary>Makes what is missing in a directory.</summary>
    /// <param name="directory">Where the images are kept.</param>
    /// <param name="tree">A directory whose files fill the ext4 disk; null for made-up content.</param>
    public static void Make(string directory, string? tree)
    {
        Directory.CreateDirectory(directory);
        var raw = Path.Combine(directory, "tree.raw");
        Missing(raw, path => WriteTree(path, tree));
        Missing(Path.Combine(directory, "tree.qcow2"), path => Convert(raw, path));
        Missing(
            Path.Combine(directory, "tree-zlib.qcow2"),
            path => Convert(raw, path, "-c", "-o", "compression_type=zlib"));
        Missing(
            Path.Combine(directory, "tree-zstd.qcow2"),
            path => Convert(raw, path, "-c", "-o", "compression_type=zstd"));
        Missing(Path.Combine(directory, "frag.qcow2"), WriteFragmented);
        Missing(Path.Combine(directory, "full.qcow2"), WriteFull);
        Missing(Path.Combine(directory, $"chain-{ChainLevels}.qcow2"), _ => WriteChain(directory));
    }

    /// <summary>Names of the VMDKs that <see cref="MakeVmdks"/> makes.</summary>
    public static IReadOnlyList<string> Vmdks { get; } = ["tree-monolithicSparse.vmdk", "tree-streamOptimized.vmdk"];

    /// <summary>Makes what is missing of the sparse disk as VMDKs.</summary>
    /// <inheritdoc cref="Make"/>
    public static void MakeVmdks(string directory, string? tree)
    {
        Directory.CreateDirectory(directory);
        var raw = Path.Combine(directory, "tree.raw");
        Missing(raw, path => WriteTree(path, tree));
        foreach (var name in Vmdks)
        {
            var subformat = Path.GetFileNameWithoutExtension(name)["tree-".Length..];
            Missing(
                Path.Combine(directory, name),
                path => Run("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", $"subformat={subformat}", raw, path));
        }
    }

    /// <summary>Makes a disk of that many GiB, 2 GiB of which hold content here and there.</summary>
    public static void MakeSparse(string directory, int gibibytes)
    {
        Directory.CreateDirectory(directory);
        var raw = Path.Combine(directory, "sparse.raw");
        Missing(raw, path => WriteMadeUpTree(path, (long)gibibytes << 30, 2 * ContentBytes));
        Missing(Path.Combine(directory, "sparse.qcow2"), path => Convert(raw, path));
        Missing(Path.Combine(directory, "sparse-zlib.qcow2"), path => Convert(raw, path, "-c"));
        Missing(
            Path.Combine(directory, "sparse-zstd.qcow2"),
            path => Convert(raw, path, "-c", "-o", "compression_type=zstd"));
    }

    /// <summary>Makes a disk of 1 GiB of which every second cluster of 64 KiB holds content, raw and as qcow2.</summary>
    public static void MakeScattered(string directory)
    {
        var raw = Path.Combine(directory, "scattered.raw");
        Missing(raw, path =>
        {
            using var file = File.OpenHandle(path, FileMode.Create, FileAccess.Write);
            RandomAccess.SetLength(file, ContentBytes);
            var random = new Random(9);
            var buffer = new byte[Chunk];
            for (var offset = 0L; offset < ContentBytes; offset += 2 * Chunk)
            {
                Fill(buffer, random);
                RandomAccess.Write(file, buffer, offset);
            }
        });
        Missing(Path.Combine(directory, "scattered.qcow2"), path => Convert(raw, path));
    }

    private static void Missing(string path, Action<string> make)
    {
        if (!File.Exists(path))
        {
            make(path);
        }
    }

    private static void WriteTree(string path, string? tree)
    {
        if (tree is null)
        {
            WriteMadeUpTree(path, DiskBytes, ContentBytes);
            return;
        }

        using (var file = File.OpenHandle(path, FileMode.Create, FileAccess.Write))
        {
            RandomAccess.SetLength(file, DiskBytes);
        }

        Run("mke2fs", "-q", "-t", "ext4", "-d", tree, path);
    }

    private static void WriteFull(string path)
    {
        var raw = path + ".raw";
        using (var file = File.Create(raw))
        {
            var random = new Random(5);
            var buffer = new byte[Chunk];
            for (var i = 0; i < ContentBytes / Chunk; i++)
            {
                Fill(buffer, random);
                file.Write(buffer);
            }
        }

        Convert(raw, path);
        File.Delete(raw);
    }

    /// <summary>A disk of 256 MiB to which each of the levels added eight clusters.</summary>
    private static void WriteChain(string directory)
    {
        var random = new Random(11);
        for (var level = 0; level <= ChainLevels; level++)
        {
            var path = Path.Combine(directory, $"chain-{level}.qcow2");
            string[] backing = level == 0 ? [] : ["-b", $"chain-{level - 1}.qcow2", "-F", "qcow2"];
            Run("qemu-img", ["create", "-q", "-f", "qcow2", .. backing, path, "256M"]);
            var writes = Enumerable.Range(0, 8).SelectMany(
                _ => new[] { "-c", $"write -q -P {1 + (level % 250)} {random.Next(4096) * (long)Chunk} {Chunk}" });
            Run("qemu-io", ["-f", "qcow2", .. writes, path]);
        }
    }

    private static void WriteMadeUpTree(string path, long diskBytes, long contentBytes)
    {
        using var file = File.OpenHandle(path, FileMode.Create, FileAccess.Write);
        RandomAccess.SetLength(file, diskBytes);
        var random = new Random(42);
        var runs = (int)(contentBytes >> 20) * 11 / 20;
        var chunks = contentBytes / Chunk;
        var gap = diskBytes / runs;
        var buffer = new byte[Chunk];
        for (var run = 0; run < runs; run++)
        {
            var offset = run * gap / Chunk * Chunk;
            for (var i = chunks * run / runs; i < chunks * (run + 1) / runs; i++, offset += Chunk)
            {
                Fill(buffer, random);
                RandomAccess.Write(file, buffer, offset);
            }
        }
    }

    /// <summary>No two neighbours on the disk are neighbours in the file.</summary>
    private static void WriteFragmented(string path)
    {
        const long Size = ContentBytes;
        Run("qemu-img", "create", "-q", "-f", "qcow2", path, Size.ToString(CultureInfo.InvariantCulture));
        var clusters = Enumerable.Range(0, (int)(Size / Chunk)).ToArray();
        new Random(7).Shuffle(clusters);
        foreach (var batch in clusters.Chunk(1000))
        {
            Run(
                "qemu-io",
                [
                    "-f", "qcow2",
                    .. batch.SelectMany(c => new[] { "-c", $"write -q -P {1 + (c % 250)} {(long)c * Chunk} {Chunk}" }),
                    path,
                ]);
        }
    }

    /// <summary>A third noise, the rest words: about what an installed system compresses to.</summary>
    private static void Fill(Span<byte> buffer, Random random)
    {
        if (random.Next(3) == 0)
        {
            random.NextBytes(buffer);
            return;
        }

        var alphabet = "etaoin shrdlucmfwypvbgkqjxz\n0123456789abcdefABCDEF(){};=._/-\0\0\0\0"u8;
        var position = 0;
        while (position < buffer.Length)
        {
            if (position > 4096 && random.Next(3) != 0)
            {
                var length = Math.Min(random.Next(4, 60), buffer.Length - position);
                var back = random.Next(length, 4096);
                buffer.Slice(position - back, length).CopyTo(buffer[position..]);
                position += length;
            }
            else
            {
                buffer[position++] = alphabet[random.Next(random.Next(alphabet.Length) + 1)];
            }
        }
    }

    private static void Convert(string raw, string target, params string[] options) =>
        Run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", .. options, raw, target]);

    private static void Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"{program} failed: {process.ExitCode}");
        }
    }
}
