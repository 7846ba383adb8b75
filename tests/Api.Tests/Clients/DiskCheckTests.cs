using System.Diagnostics;
using Registry.Support;

namespace Registry.Api.Tests.Clients;

/// <summary>registry disk check beside qemu-img check: the same words, keys, order and exit codes.</summary>
public sealed class DiskCheckTests
{
    // Cluster 3 is the L1 table, 4 the L2 table, 5 and on the data of a fresh image; counts are two bytes in cluster 2.
    private const int Counts = 2 * 65536;
    private const int L2 = 4 * 65536;

    public static TheoryData<string, string> Cases { get; } = MakeCases();

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task It_answers_as_qemu_does(string damage, string arguments)
    {
        var qemu = ExternalTool.Require("qemu-img");
        var cancel = TestContext.Current.CancellationToken;
        using var directory = new TempDirectory();
        var path = directory.File("disk.qcow2");
        await qemu.OutputAsync(cancel, "create", "-q", "-f", "qcow2", path, "8M");
        await ExternalTool.Require("qemu-io")
            .OutputAsync(cancel, "-c", "write 0 1M", "-c", "write 2M 64k", "-c", "write -c 4M 64k", path);
        Spoil(path, damage);
        var copy = await File.ReadAllBytesAsync(path, cancel);
        string[] given = ["check", .. arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries), path];

        var expected = await qemu.RunAsync(given, cancel);
        await File.WriteAllBytesAsync(path, copy, cancel);
        var (code, output) = await RunAsync(["disk", .. given], cancel);

        Assert.Equal(expected.ExitCode, code);
        Assert.Equal(expected.Output, output);
    }

    private static TheoryData<string, string> MakeCases()
    {
        var cases = new TheoryData<string, string>();
        foreach (var damage in new[] { "none", "leak", "flag", "both", "reserved", "not qcow2" })
        {
            foreach (var arguments in new[]
            {
                "", "--output=json", "-q", "-f qcow2 -U", "-f raw", "-r leaks", "-r all --output=json", "-r all -T none",
            })
            {
                // An image that we repair and qemu-img does not.
                if (damage != "reserved" || !arguments.Contains("-r all", StringComparison.Ordinal))
                {
                    cases.Add(damage, arguments);
                }
            }
        }

        return cases;
    }

    private static void Spoil(string path, string damage)
    {
        using var file = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite);
        if (damage is "leak" or "both")
        {
            RandomAccess.Write(file, [0, 3], Counts + (5 * 2));
        }

        if (damage is "flag" or "both")
        {
            RandomAccess.Write(file, [0], L2 + 8);
        }

        if (damage is "reserved")
        {
            RandomAccess.Write(file, [8], L2 + 15);
        }

        if (damage is "not qcow2")
        {
            RandomAccess.Write(file, "RAW"u8, 0);
        }
    }

    private static async Task<(int ExitCode, string Output)> RunAsync(string[] arguments, CancellationToken cancel)
    {
        var start = new ProcessStartInfo(RegistryProcess.Executable, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync(cancel);
        var output = await process.StandardOutput.ReadToEndAsync(cancel);
        await process.WaitForExitAsync(cancel);
        await error;
        return (process.ExitCode, output);
    }
}
