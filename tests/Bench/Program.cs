using Registry.Bench;

return args switch
{
    ["convert", .. var rest] => ConvertBench.Run(rest),
    ["remote", .. var rest] => await RemoteBench.RunAsync(rest),
    ["memory", .. var rest] => MemoryBench.Run(rest),
    ["provision", .. var rest] => await ProvisionBench.RunAsync(rest),
    ["list", .. var rest] => await ListBench.RunAsync(rest),
    ["s3", .. var rest] => await S3Bench.RunAsync(rest),
    ["cache", .. var rest] => await CacheBench.RunAsync(rest),
    ["import", .. var rest] => await ImportBench.RunAsync(rest),
    ["glance", .. var rest] => await GlanceBench.RunAsync(rest),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine("""
        usage: Registry.Bench convert [--registry PROGRAM] [--dir DIR] [--tree FILES] [--rounds N] [CASE...]
               Registry.Bench remote [--dir DIR] [--tree FILES]
               Registry.Bench memory [--registry PROGRAM] [--dir DIR]
               Registry.Bench provision [--registry PROGRAM] [--dir DIR] [--tree FILES] [--rounds N] [IMAGE...]
               Registry.Bench list [--images N] [--requests N] [--query TEXT]
               Registry.Bench s3 [--gib N] [--rounds N] [--at-once N] [--writers]
               Registry.Bench cache [--readers N] [--mib N] [--without READERS]
               Registry.Bench import [--dir DIR] [--tree FILES] [--rounds N] [--production]
               Registry.Bench glance [--seconds N] [--rounds N] [--images N] [--mib N]
        """);
    return 2;
}
