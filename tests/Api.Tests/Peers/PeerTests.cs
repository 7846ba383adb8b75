using Registry.Support;
using Xunit;

namespace Registry.Api.Tests.Peers;

/// <summary>Every command of the real clients, on the registry and on the real Glance, answers the same: the exit code,
/// the output, the error. Where it does not, the row says why.</summary>
public sealed class PeerTests(PeerLab lab) : IClassFixture<PeerLab>
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>The tables, by name.</summary>
    public static TheoryData<string> Tables => TablesIn(Folder);

    /// <summary>Those for services that keep caches.</summary>
    public static TheoryData<string> CacheTables => TablesIn(CacheFolder);

    private static string Folder { get; } = RepositoryTree.File("tests", "Api.Tests", "Peers", "table");

    private static string CacheFolder { get; } = Path.Combine(Folder, "caches");

    [Theory]
    [MemberData(nameof(Tables))]
    public async Task Both_answer_the_same(string table) =>
        await CompareAsync(await lab.StartAsync(hasCaches: false), Path.Combine(Folder, table));

    [Theory]
    [MemberData(nameof(CacheTables))]
    public async Task With_caches_both_answer_the_same(string table) =>
        await CompareAsync(await lab.StartAsync(hasCaches: true), Path.Combine(CacheFolder, table));

    private static TheoryData<string> TablesIn(string folder) =>
        [.. Directory.GetFiles(folder, "*.txt").Order(StringComparer.Ordinal).Select(path => Path.GetFileName(path))];

    private async Task CompareAsync(PeerPair pair, string table)
    {
        var differences = 0;
        foreach (var row in PeerRow.Read(table))
        {
            var (glance, registry) = (RunAsync(pair.Glance, row), RunAsync(pair.Registry, row));
            var (theirs, ours) = (await glance, await registry);
            foreach (var difference in row.Command[0] == "sdk"
                ? InCalls(pair, theirs, ours)
                : InRow(pair, row, theirs, ours))
            {
                TestContext.Current.TestOutputHelper!.WriteLine($"{difference}\n");
                differences++;
            }

            if (row.Keep is { } name)
            {
                pair.Glance.Words[name] = PeerAnswer.Field(theirs, row.Field);
                pair.Registry.Words[name] = PeerAnswer.Field(ours, row.Field);
            }
        }

        Assert.True(differences == 0, $"{differences} differences; see the output.");
    }

    private async Task<ToolResult> RunAsync(Peer peer, PeerRow row)
    {
        var began = TimeProvider.System.GetTimestamp();
        var wanted = row.Until is null ? null : peer.Filled(row.Until);
        while (true)
        {
            var result = await lab.RunAsync(peer, row.User, row.Command);
            if (wanted is null || (result.Output + result.Error).Contains(wanted, StringComparison.Ordinal))
            {
                return result;
            }

            Assert.True(
                TimeProvider.System.GetElapsedTime(began) <= Patience,
                $"{row}\nnever said {wanted}:\n{result.Output}{result.Error}");
        }
    }

    private static IEnumerable<string> InRow(PeerPair pair, PeerRow row, ToolResult theirs, ToolResult ours)
    {
        var (glance, registry) = row.IsOfNames
            ? (PeerAnswer.Names(theirs), PeerAnswer.Names(ours))
            : (PeerAnswer.Normal(theirs, pair.Glance), PeerAnswer.Normal(ours, pair.Registry));
        if (row.IsUnordered)
        {
            (glance, registry) = (PeerAnswer.Unordered(glance), PeerAnswer.Unordered(registry));
        }

        if (row.IsOfCode)
        {
            (glance, registry) = ($"exit {theirs.ExitCode}", $"exit {ours.ExitCode}");
        }

        if (row.IsInOtherWords)
        {
            if (PeerAnswer.Status(theirs) != PeerAnswer.Status(ours) || !PeerAnswer.IsRefusal(theirs) || glance == registry)
            {
                yield return $"{row}\nGlance {glance}\nwe {registry}";
            }
        }
        else if (row.Reason is null)
        {
            if (glance != registry)
            {
                yield return $"{row}\nGlance {glance}\nwe {registry}";
            }
        }
        else if (glance == registry)
        {
            yield return $"{row}\nboth say the same, against the table: {glance}";
        }
        else if (ours.ExitCode != row.OurCode
            || !(ours.Output + ours.Error).Contains(pair.Registry.Filled(row.OurText), StringComparison.Ordinal))
        {
            yield return $"{row}\nwe should answer {row.OurCode} {row.OurText}\nwe {registry}";
        }
    }

    // A script answers with what came of each of its calls, and says itself where they differ on purpose.
    private static IEnumerable<string> InCalls(PeerPair pair, ToolResult theirs, ToolResult ours)
    {
        var (glance, registry) = (PeerAnswer.Calls(theirs, pair.Glance), PeerAnswer.Calls(ours, pair.Registry));
        foreach (var (name, (answer, reason, expected)) in registry)
        {
            var stock = glance.TryGetValue(name, out var same) ? same.Answer : "nothing";
            if (reason is null ? answer != stock : answer == stock || !answer.Contains(expected, StringComparison.Ordinal))
            {
                yield return $"sdk: {name} ({reason} {expected})\nGlance {stock}\nwe {answer}";
            }
        }

        if (registry.Count < 2 || registry.Count != glance.Count)
        {
            yield return $"sdk: {registry.Count} calls, {glance.Count} of Glance\n{theirs.Error}\n{ours.Error}";
        }
    }
}
