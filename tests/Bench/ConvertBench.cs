using System.Globalization;

namespace Registry.Bench;

/// <summary>`registry disk convert` beside qemu-img convert, as commands, in turn in each round, on the same
/// files.</summary>
/// <remarks>Everybody writes to the page cache only, which is qemu-img's default. A ratio is the median of the rounds'
/// own ratios, ours to qemu-img's: below 1 we are faster. Starting up is part of every figure. Each case's results are
/// compared before they are timed. Beside them stands what cp takes for the source as it is: nobody who writes the same
/// bytes through the page cache takes less.</remarks>
internal static class ConvertBench
{
    private static readonly Case[] Cases =
    [
        new("tree->raw", "tree.qcow2", "-O raw", 0.45, 0.75),
        new("zlib->raw", "tree-zlib.qcow2", "-O raw", 0.38, 0.45),
        new("zstd->raw", "tree-zstd.qcow2", "-O raw", 0.50, 0.65),
        new("frag->raw", "frag.qcow2", "-O raw", 0.60, 0.80),
        new("full->raw", "full.qcow2", "-O raw", 0.85, 1.00),
        new("chain->raw", "chain-200.qcow2", "-O raw", 0.15, 0.20),
        new("raw->qcow2", "tree.raw", "-f raw -O qcow2", 0.60, 0.70),
        new("qcow2->qcow2", "tree.qcow2", "-O qcow2", 0.65, 0.75),
        new("zlib->qcow2", "tree-zlib.qcow2", "-O qcow2", 0.40, 0.50),
        new("raw->zlib", "tree.raw", "-f raw -O qcow2 -c -o compression_type=zlib", 0.60, 0.70),
        new("raw->zstd", "tree.raw", "-f raw -O qcow2 -c -o compression_type=zstd", 0.60, 0.70),
    ];

    /// <summary>Runs the cases named, or all.</summary>
    /// <returns>The exit code.</returns>
    public static int Run(string[] arguments)
    {
        var directory = Directory(arguments);
        var registry = Option(arguments, "--registry") ?? "registry";
        var rounds = int.Parse(Option(arguments, "--rounds") ?? "5", CultureInfo.InvariantCulture);
        var wanted = Cases.Where(c => arguments.Contains(c.Name)).ToArray();
        BenchImages.Make(directory, Option(arguments, "--tree"));
        Console.WriteLine(
            $"{"",-14}      ours             qemu-img         at its best        cp            of wall (target)           of cpu");
        Console.WriteLine($"{"case",-14} {"wall",7} {"cpu",6}   {"wall",7} {"cpu",6}   {"wall",7} {"cpu",6}   {"wall",7} {"cpu",6}");
        foreach (var item in wanted.Length == 0 ? Cases : wanted)
        {
            Measure(item, new Converters(directory, registry, item), rounds);
        }

        return 0;
    }

    private static void Measure(Case item, Converters converters, int rounds)
    {
        converters.Compare();
        var ours = new List<Spent>();
        var plain = new List<Spent>();
        var best = new List<Spent>();
        var copy = new List<Spent>();
        for (var round = 0; round < rounds; round++)
        {
            plain.Add(converters.Qemu());
            ours.Add(converters.Ours());
            best.Add(converters.QemuAtItsBest());
            copy.Add(converters.Copy());
        }

        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{item.Name,-14} {Text(ours)}   {Text(plain)}   {Text(best)}   {Text(copy)}   " +
            $"{Ratio(ours, plain, s => s.Wall):F2} ({item.Target:F2})  {Ratio(ours, best, s => s.Wall):F2} " +
            $"({item.TargetAtBest:F2})   {Ratio(ours, plain, s => s.Cpu):F2}  {Ratio(ours, best, s => s.Cpu):F2}"));
    }

    private static string Text(List<Spent> spent) => string.Create(
        CultureInfo.InvariantCulture,
        $"{Median(spent.Select(s => s.Wall)),6:F2}s {Median(spent.Select(s => s.Cpu)),5:F2}s");

    private static double Ratio(List<Spent> ours, List<Spent> theirs, Func<Spent, double> what) =>
        Median(ours.Zip(theirs, (a, b) => what(a) / what(b)));

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToList();
        return sorted[sorted.Count / 2];
    }

    /// <summary>Where the images are kept.</summary>
    internal static string Directory(string[] arguments) =>
        Option(arguments, "--dir") ?? Path.Combine(Path.GetTempPath(), "registry-bench");

    internal static string? Option(string[] arguments, string name)
    {
        var at = Array.IndexOf(arguments, name);
        return at >= 0 && at + 1 < arguments.Length ? arguments[at + 1] : null;
    }
}

/// <summary>A conversion to measure.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Image">The source, in the directory of images.</param>
/// <param name="Options">Options, the same for both programs.</param>
/// <param name="Target">Wall time aimed at, as part of qemu-img's with its defaults.</param>
/// <param name="TargetAtBest">The same against qemu-img with -m 16 -W.</param>
internal sealed record Case(string Name, string Image, string Options, double Target, double TargetAtBest);

/// <summary>The programs that convert a case's image.</summary>
internal sealed class Converters(string directory, string registry, Case item)
{
    private readonly string source = Path.Combine(directory, item.Image);
    private readonly string target = Path.Combine(directory, "out");

    /// <summary>qemu-img as everybody runs it.</summary>
    public Spent Qemu() => Time("qemu-img", ["convert", .. Options, source, target]);

    /// <summary>qemu-img at its fastest: 16 requests at a time, written in any order.</summary>
    public Spent QemuAtItsBest() => Time("qemu-img", ["convert", "-m", "16", "-W", .. Options, source, target]);

    /// <summary>The source, byte for byte.</summary>
    public Spent Copy() => Time("cp", [source, target]);

    /// <summary>Ours.</summary>
    public Spent Ours() => Time(registry, ["disk", "convert", .. Options, source, target]);

    /// <summary>Fails unless what we make is sound and the source's content; warms the page cache too.</summary>
    public void Compare()
    {
        Ours();
        var format = Options.Contains("qcow2") ? "qcow2" : "raw";
        if (format == "qcow2")
        {
            Child.Run("qemu-img", ["check", "-q", "-f", format, target]);
        }

        var from = item.Image.EndsWith(".raw", StringComparison.Ordinal) ? "raw" : "qcow2";
        Child.Run("qemu-img", ["compare", "-q", "-f", from, "-F", format, source, target]);
        var bytes = new FileInfo(target).Length;
        Qemu();
        Console.WriteLine($"{item.Name,-14} identical; {bytes} bytes, qemu-img's {new FileInfo(target).Length}");
    }

    private string[] Options => item.Options.Split(' ');

    private Spent Time(string program, string[] arguments)
    {
        File.Delete(target);
        return Child.Run(program, arguments);
    }
}
