namespace Registry.Storage.Tests.Model;

/// <summary>What an exploration found.</summary>
/// <param name="States">States that can be reached.</param>
/// <param name="Problem">The first problem; null for none.</param>
/// <param name="Trace">The shortest way to it, step by step.</param>
internal sealed record Exploration(int States, string? Problem, IReadOnlyList<string> Trace);

/// <summary>Visits every state that a model can reach, breadth first, and reports the shortest way to a problem.</summary>
internal static class Explorer
{
    private const int StatesMax = 1_500_000;

    /// <summary>Explores.</summary>
    /// <param name="initial">The first state.</param>
    /// <param name="next">The steps that are possible in a state.</param>
    /// <param name="problemOf">What is wrong in a state; null for nothing.</param>
    /// <param name="isSettled">Whether nothing is left to do. From every state one of these must be reachable.</param>
    public static Exploration Run<TState>(
        TState initial,
        Func<TState, IEnumerable<(string Step, TState Next)>> next,
        Func<TState, string?> problemOf,
        Func<TState, bool> isSettled)
        where TState : struct, IEquatable<TState>
    {
        var numbers = new Dictionary<TState, int> { [initial] = 0 };
        var states = new List<TState> { initial };
        var parents = new List<(int State, string Step)> { (-1, "") };
        var edges = new List<(int From, int To)>();
        for (var number = 0; number < states.Count; number++)
        {
            if (problemOf(states[number]) is { } problem)
            {
                return new Exploration(states.Count, problem, Trace(parents, number));
            }

            foreach (var (step, state) in next(states[number]))
            {
                if (!numbers.TryGetValue(state, out var known))
                {
                    if (states.Count == StatesMax)
                    {
                        throw new InvalidOperationException($"more than {StatesMax} states");
                    }

                    known = states.Count;
                    numbers.Add(state, known);
                    states.Add(state);
                    parents.Add((number, step));
                }

                edges.Add((number, known));
            }
        }

        var stuck = FindStuck(states.Count, edges, number => isSettled(states[number]));
        return stuck < 0
            ? new Exploration(states.Count, null, [])
            : new Exploration(states.Count, $"can never settle: {states[stuck]}", Trace(parents, stuck));
    }

    // Backwards from what is settled; the first state that is not met can never settle.
    private static int FindStuck(int count, List<(int From, int To)> edges, Func<int, bool> isSettled)
    {
        var starts = new int[count + 1];
        foreach (var (_, to) in edges)
        {
            starts[to + 1]++;
        }

        for (var state = 0; state < count; state++)
        {
            starts[state + 1] += starts[state];
        }

        var before = new int[edges.Count];
        var filled = (int[])starts.Clone();
        foreach (var (from, to) in edges)
        {
            before[filled[to]++] = from;
        }

        var settles = new bool[count];
        var open = new Stack<int>(Enumerable.Range(0, count).Where(isSettled));
        while (open.TryPop(out var state))
        {
            if (!settles[state])
            {
                settles[state] = true;
                foreach (var earlier in before.AsSpan(starts[state], starts[state + 1] - starts[state]))
                {
                    open.Push(earlier);
                }
            }
        }

        return Array.IndexOf(settles, false);
    }

    private static List<string> Trace(List<(int State, string Step)> parents, int state)
    {
        var steps = new List<string>();
        for (; state > 0; state = parents[state].State)
        {
            steps.Add(parents[state].Step);
        }

        steps.Reverse();
        return steps;
    }
}
