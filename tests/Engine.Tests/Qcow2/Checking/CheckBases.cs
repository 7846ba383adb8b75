using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Qcow2.Checking;

/// <summary>Healthy images, made by qemu, to be damaged.</summary>
internal static class CheckBases
{
    public const string Passphrase = "correct horse";

    /// <summary>Their names.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        "plain", "v2", "c512", "c4k", "c2m", "rc1", "rc2", "rc4", "rc8", "rc32", "rc64", "zstd", "snapshots",
        "snapshots-v2", "bitmaps", "extl2", "extl2-snapshots", "data-file", "luks", "prealloc",
    ];

    /// <summary>Whether content of the image can be read without a passphrase.</summary>
    public static bool IsPlain(string name) => name != "luks";

    /// <summary>Makes one.</summary>
    public static void Make(string name, string path)
    {
        var unit = name switch { "c512" => 512, "c4k" => 4096, "c2m" => 2 << 20, _ => 65536 };
        var options = name switch
        {
            "v2" or "snapshots-v2" => "compat=0.10",
            "c512" or "c4k" or "c2m" => $"cluster_size={unit}",
            "zstd" => "compression_type=zstd",
            "extl2" or "extl2-snapshots" => "extended_l2=on",
            "data-file" => $"data_file={path}.data",
            "prealloc" => "preallocation=metadata",
            _ when name.StartsWith("rc", StringComparison.Ordinal) => $"refcount_bits={name[2..]}",
            _ => "",
        };
        // Two L1 entries at least, so that one stays free.
        var size = (long)unit * unit / 8 * 2;
        if (name == "prealloc")
        {
            size = 4 << 20;
        }

        if (name == "luks")
        {
            // It measures how fast it hashes, which fails on a busy machine when it measures for too short a time.
            for (var milliseconds = 100; milliseconds < 4000; milliseconds *= 2)
            {
                if (QemuImg.TryRun(
                    "create", "-q", "--object", $"secret,id=s,data={Passphrase}", "-f", "qcow2", "-o",
                    $"encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time={milliseconds}", path, "1G")
                    .ExitCode == 0)
                {
                    break;
                }
            }

            return;
        }

        QemuImg.Create(path, size, options);
        var last = 20 * unit;
        string[] writes =
        [
            $"write -P 1 0 {3 * unit}", $"write -P 2 {7 * unit} {2 * unit}", $"write -z {8 * unit} {unit}",
            $"write -P 9 {last} 512",
        ];
        QemuImg.Io(path, writes);
        if (name is not ("data-file" or "rc1" or "prealloc"))
        {
            QemuImg.Io(path, [$"write -c -P 3 {10 * unit} {unit}", $"write -c -P 4 {11 * unit} {unit}"]);
        }

        if (name.Contains("snapshots", StringComparison.Ordinal))
        {
            QemuImg.Run("snapshot", "-c", "one", path);
            QemuImg.Io(path, [$"write -P 5 {unit} {2 * unit}"]);
            QemuImg.Run("snapshot", "-c", "two", path);
            QemuImg.Io(path, [$"write -P 6 {9 * unit} {unit}"]);
        }

        if (name == "bitmaps")
        {
            QemuImg.Run("bitmap", "--add", path, "b0");
            QemuImg.Run("bitmap", "--add", "-g", "1M", path, "b1");
            QemuImg.Io(path, [$"write -P 7 {30 * unit} {unit}"]);
        }
    }
}
