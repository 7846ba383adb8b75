namespace Registry.Storage.Jobs;

/// <summary>How far a job is.</summary>
/// <param name="Step">What it is doing, a word; null before it began.</param>
/// <param name="Done">How much is done, mostly bytes, 0 or more.</param>
/// <param name="Total">How much there is to do, in the same unit; null when unknown.</param>
public readonly record struct JobProgress(string? Step, long Done, long? Total);
