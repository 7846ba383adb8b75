namespace Registry.Api.Usage;

/// <summary>Counts what each project has under way of one kind, so that none takes all there is.</summary>
/// <param name="max">Most that one project may have; null for no limit.</param>
internal sealed class ProjectSlots(int? max)
{
    private readonly Dictionary<string, int> _taken = new(StringComparer.Ordinal);

    /// <summary>Takes a slot; disposing gives it back.</summary>
    /// <param name="projectId">The project; null for nobody's, who is not counted.</param>
    /// <returns>Null: the project has all that it may have.</returns>
    public IDisposable? TryTake(string? projectId)
    {
        if (max is null || projectId is null)
        {
            return new Slot(this, null);
        }

        lock (_taken)
        {
            var count = _taken.GetValueOrDefault(projectId);
            if (count >= max)
            {
                return null;
            }

            _taken[projectId] = count + 1;
            return new Slot(this, projectId);
        }
    }

    private sealed class Slot(ProjectSlots slots, string? projectId) : IDisposable
    {
        private string? _projectId = projectId;

        // A project that has nothing under way is forgotten: there may be any number of projects.
        public void Dispose()
        {
            if (Interlocked.Exchange(ref _projectId, null) is not { } counted)
            {
                return;
            }

            lock (slots._taken)
            {
                if (--slots._taken[counted] == 0)
                {
                    slots._taken.Remove(counted);
                }
            }
        }
    }
}
