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
        var seeds = Directory.GetFiles(RepositoryTree.File("tests/Fuzz/seeds"));

        Assert.True(seeds.Length >= 20, $"only {seeds.Length} seeds");
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
}
