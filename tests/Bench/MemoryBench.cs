namespace Registry.Bench;

/// <summary>Memory that conversions take.</summary>
internal static class MemoryBench
{
    private const int SparseGibibytes = 100;

    /// <summary>Converts a disk of 100 GiB that holds 2 GiB, to every kind of target, and prints the peaks.</summary>
    /// <returns>The exit code.</returns>
    public static int Run(string[] arguments)
    {
        var directory = ConvertBench.Directory(arguments);
        var registry = ConvertBench.Option(arguments, "--registry") ?? "registry";
        BenchImages.MakeSparse(directory, SparseGibibytes);
        var target = Path.Combine(directory, "out");
        string[] sources = ["sparse.qcow2", "sparse-zlib.qcow2", "sparse-zstd.qcow2"];
        string[] targets = ["-O raw", "-O qcow2", "-O qcow2 -c", "-O qcow2 -c -o compression_type=zstd"];
        foreach (var (source, options) in sources.SelectMany(s => targets.Select(t => (s, t))))
        {
            File.Delete(target);
            var peak = Child.PeakMemory(
                registry, ["disk", "convert", .. options.Split(' '), Path.Combine(directory, source), target]);
            Console.WriteLine($"{source,-18} {options,-40} {peak >> 20,4} MiB");
        }

        return 0;
    }
}
