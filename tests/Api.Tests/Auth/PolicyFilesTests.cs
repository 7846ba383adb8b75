using Registry.Support;

namespace Registry.Api.Tests.Auth;

/// <summary>Who gets what with policy files as sites have them: policies.csv beside this file says it, for the registry and,
/// where that differs, for the real Glance, with the reason.</summary>
/// <remarks>Glance is asked about one of the files, and about all in a full run.</remarks>
public sealed class PolicyFilesTests
{
    private static readonly string[] Policies = ["legacy", "secure-rbac", "member", "empty", "never", "always"];

    // Glance takes minutes for all six: the one that has most answers in common with none of the others.
    private static readonly string[] Few = ["legacy"];

    private static readonly string[] Columns =
        ["policy", "request", "kind", .. PolicyLab.Callers.Select(caller => caller.Name), "why Glance differs"];

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_registry_answers_with_every_policy_file_as_the_table_says()
    {
        await using var lab = await ProxyApp.StartAsync("{}");
        await CompareAsync(new PolicyLab(lab.App.Http, lab.UsePolicyAsync), Policies, row => row.Ours);
    }

    [Fact]
    public async Task Glance_answers_with_every_policy_file_as_the_table_says()
    {
        GlanceServer.Require();
        await using var postgres = await PostgresServer.StartAsync();
        await using var glance = await GlanceServer.MakeAsync(postgres, new GlanceOptions { LeavesOwnershipToRules = false }, Stop);
        await glance.StartAsync(Stop);
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = glance.Url };
        var lab = new PolicyLab(http, text => glance.UsePolicyAsync(text, Stop));
        await CompareAsync(lab, TestRun.IsFull ? Policies : Few, row => row.Theirs);
    }

    private static async Task CompareAsync(PolicyLab lab, string[] policies, Func<Row, string[]> side)
    {
        var table = Read();
        var wrong = new List<string>();
        foreach (var policy in policies)
        {
            foreach (var (key, answers) in await lab.RunAsync(policy, TextAsync, PolicyRow.All))
            {
                if (!table.TryGetValue(key, out var row) || !side(row).SequenceEqual(answers))
                {
                    wrong.Add($"{key},{string.Join(',', answers)}");
                }
            }
        }

        Assert.True(wrong.Count == 0, $"These rows are wrong or missing in the table:\n{string.Join('\n', wrong)}");
    }

    private static Task<string> TextAsync(string policy) => File.ReadAllTextAsync(
        RepositoryTree.File("tests", "Api.Tests", "Auth", "policies", $"{policy}.yaml"), Stop);

    // A cell is the answer of both, or ours and Glance's, with a slash between. Only a row with a reason may have such.
    private static Dictionary<string, Row> Read()
    {
        var lines = File.ReadAllLines(RepositoryTree.File("tests", "Api.Tests", "Auth", "policies.csv"));
        Assert.Equal(string.Join(',', Columns), lines[0]);
        return lines.Skip(1).Select(line => line.Split(',')).ToDictionary(
            cells => string.Join(',', cells[..3]),
            cells =>
            {
                var answers = cells[3..^1].Select(cell => cell.Split('/')).ToList();
                Assert.True(
                    answers.Exists(both => both.Length > 1) == cells[^1].Length > 0,
                    $"A reason belongs to a difference, and to nothing else: {string.Join(',', cells)}");
                return new Row([.. answers.Select(both => both[0])], [.. answers.Select(both => both[^1])]);
            });
    }

    private sealed record Row(string[] Ours, string[] Theirs);
}
