using Registry.Storage.Domain;

namespace Registry.Storage.Tests.Model;

/// <summary>The protocol of <see cref="Protocol"/> in every order of its steps: two workers, a client, a reaper and a scrub.
/// </summary>
public sealed class ModelTests
{
    private const int StatesMin = 10_000; // a model that does next to nothing shows nothing

    [Theory]
    [InlineData(nameof(Work.Upload))]
    [InlineData(nameof(Work.Copy))]
    [InlineData(nameof(Work.Clone))]
    public void No_order_of_steps_loses_bytes_leaves_an_orphan_or_a_job_that_never_ends(string work)
    {
        var found = Explore(Enum.Parse<Work>(work), Faults.None);
        TestContext.Current.TestOutputHelper?.WriteLine($"{found.States} states");
        Assert.True(found.Problem is null, $"{found.Problem}\n{string.Join('\n', found.Trace)}");
        Assert.InRange(found.States, StatesMin, int.MaxValue);
    }

    [Theory]
    [InlineData(nameof(Work.Copy), nameof(Faults.OneKey), "a location without its bytes")]
    [InlineData(nameof(Work.Copy), nameof(Faults.Unfenced), "a location without its bytes")]
    [InlineData(nameof(Work.Upload), nameof(Faults.Unfenced), "a location without its bytes")]
    [InlineData(nameof(Work.Clone), nameof(Faults.GiveUpForEver), "a job that does not end")]
    [InlineData(nameof(Work.Copy), nameof(Faults.BeginUnheld), "a job failed that is done")]
    [InlineData(nameof(Work.Copy), nameof(Faults.DoneUnseen), "a job failed that is done")]
    [InlineData(nameof(Work.Copy), nameof(Faults.Untidy), "can never settle")]
    public void Every_fault_that_is_built_into_the_protocol_is_found(string work, string faults, string problem)
    {
        var found = Explore(Enum.Parse<Work>(work), Enum.Parse<Faults>(faults));
        TestContext.Current.TestOutputHelper?.WriteLine(string.Join('\n', found.Trace));
        Assert.StartsWith(problem, found.Problem, StringComparison.Ordinal);
    }

    private static Exploration Explore(Work work, Faults faults)
    {
        var worker = work == Work.Upload ? new Actor(At.Begin, 0, 0) : default;
        var world = new World(work)
        {
            Status = work == Work.Copy ? ImageStatus.Active : ImageStatus.Queued,
            Job = work == Work.Upload ? JobStatus.Succeeded : JobStatus.Pending,
            First = worker,
            Second = worker,
            Misfortunes = 2,
        };
        var protocol = new Protocol(faults);
        return Explorer.Run(
            world, state => protocol.Next(state).Select(step => (step.Step, step.Next.InOrder())), Protocol.ProblemOf, Protocol.IsSettled);
    }
}
