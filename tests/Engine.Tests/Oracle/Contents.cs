namespace Registry.Engine.Tests.Oracle;

/// <summary>qemu-io commands that give a disk content of a kind, the same for the same seed.</summary>
internal static class Contents
{
    public static List<string> Commands(string kind, long size, int cluster, int seed)
    {
        var random = new Random(seed);
        return kind switch
        {
            "empty" => [],
            "scattered" => Scattered(random, size, cluster),
            "zeroes" => Zeroes(random, size, cluster),
            "compressed" => Compressed(random, size, cluster),
            "tail" => Tail(size, cluster),
            _ => throw new ArgumentOutOfRangeException(nameof(kind)),
        };
    }

    private static List<string> Scattered(Random random, long size, int cluster)
    {
        var commands = new List<string>();
        for (var i = 0; i < 30; i++)
        {
            var length = 512 * random.Next(1, Math.Max(2, cluster * 3 / 512));
            var offset = 512 * random.NextInt64(0, (size - length) / 512);
            commands.Add($"write -P {random.Next(1, 255)} {offset} {length}");
        }

        return commands;
    }

    private static List<string> Zeroes(Random random, long size, int cluster)
    {
        var commands = Scattered(random, size, cluster);
        for (var i = 0; i < 15; i++)
        {
            var offset = random.NextInt64(0, size / cluster) * cluster;
            commands.Add(random.Next(4) switch
            {
                0 => $"write -z {offset} {cluster}",
                1 => $"write -zu {offset} {cluster}",
                2 => $"discard {offset} {cluster}",
                _ => $"write -z {offset + 512} {cluster / 2}",
            });
        }

        return commands.Where(c => !c.EndsWith(" 0", StringComparison.Ordinal)).ToList();
    }

    private static List<string> Compressed(Random random, long size, int cluster)
    {
        var commands = new List<string>();
        var clusters = Enumerable.Range(0, (int)(size / cluster)).OrderBy(_ => random.Next()).Take(40).ToList();
        foreach (var index in clusters)
        {
            commands.Add($"write -c -P {random.Next(1, 255)} {(long)index * cluster} {cluster}");
        }

        // Some are overwritten in place, in part or whole; neighbours stay packed around them.
        foreach (var index in clusters.Take(5))
        {
            commands.Add($"write -P 9 {((long)index * cluster) + (cluster / 2)} 512");
        }

        commands.Add($"write -P 8 {(long)clusters[6] * cluster} {cluster}");
        return commands;
    }

    private static List<string> Tail(long size, int cluster)
    {
        var last = size / cluster * cluster;
        return
        [
            $"write -P 1 0 {cluster}",
            $"write -c -P 2 {cluster * 2} {cluster}",
            $"write -c -P 3 {last} {size - last}",
        ];
    }
}
