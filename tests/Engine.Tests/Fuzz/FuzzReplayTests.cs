using Registry.Engine.Disks;
using Registry.Fuzz;

namespace Registry.Engine.Tests.Fuzz;

/// <summary>Runs every committed seed, and every input that once was a bug, through every fuzz target.</summary>
public sealed class FuzzReplayTests
{
    /// <summary>Other tests run beside this one.</summary>
    private static readonly TimeSpan Patience = FuzzTargets.BudgetTime * 10;

    public static TheoryData<string> Targets => new(FuzzTargets.ByName.Keys);

    [Theory]
    [MemberData(nameof(Targets))]
    public async Task Seeds_end_within_the_budget_and_only_as_they_may(string target)
    {
        string[] seeds =
        [
            .. Directory.GetFiles(RepositoryTree.File("tests/Fuzz/seeds")),
            .. Directory.GetFiles(RepositoryTree.File("tests/Fuzz/disk-seeds"), "*", SearchOption.AllDirectories),
        ];

        Assert.True(seeds.Length >= 30, $"only {seeds.Length} seeds");
        foreach (var seed in seeds)
        {
            var input = await File.ReadAllBytesAsync(seed, TestContext.Current.CancellationToken);
            await FuzzTargets.RunAsync(target, input, Patience);
            for (var cut = 1; cut < input.Length; cut += Math.Max(1, input.Length / 16))
            {
                await FuzzTargets.RunAsync(target, input[..cut], Patience);
            }
        }
    }

    [Theory]
    [InlineData("vmdk", DiskFormat.Vmdk)]
    [InlineData("vhd", DiskFormat.Vhd)]
    [InlineData("vhdx", DiskFormat.Vhdx)]
    [InlineData("vdi", DiskFormat.Vdi)]
    public async Task Packed_seeds_are_sound_disks(string target, DiskFormat format)
    {
        foreach (var seed in Directory.GetFiles(RepositoryTree.File($"tests/Fuzz/disk-seeds/{target}")))
        {
            // What the fuzzer found may be spoilt; what qemu made is named by what it is.
            if (Path.GetExtension(seed) == ".packed")
            {
                var file = SparseBytes.Unpack(await File.ReadAllBytesAsync(seed, TestContext.Current.CancellationToken));
                await using var image = await DiskImages.OpenAsync(
                    file, format, DiskOpenOptions.Strict, TestContext.Current.CancellationToken);
                await FuzzTargets.ReadAsync(image);
            }
        }
    }
}
