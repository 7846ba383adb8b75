namespace Registry.Api.Memory;

/// <summary>Registry:Memory.</summary>
public sealed record MemorySection
{
    private const long BudgetLeast = 16L << 20;

    /// <summary>Bytes that all buffers of the process may hold together; 0 derives them from the memory of the machine or
    /// the container.</summary>
    public long BudgetBytes { get; init; }

    /// <summary>How long a request waits for its buffers before it is answered with 503.</summary>
    public TimeSpan Wait { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a client may leave the bytes that it asked for unread while requests wait for memory, besides the time
    /// that they take at 128 KiB/s; then it is disconnected. Where there is memory, it may take as long as it likes.</summary>
    public TimeSpan Stalled { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate()
    {
        RegistryOptions.Require(
            BudgetBytes is 0 or >= BudgetLeast, "Registry:Memory:BudgetBytes", $"{BudgetBytes}",
            $"0, or {BudgetLeast} or more");
        RegistryOptions.Require(
            Wait >= TimeSpan.Zero && Wait <= TimeSpan.FromMinutes(5), "Registry:Memory:Wait", $"{Wait}", "0 to 5 minutes");
        RegistryOptions.Require(
            Stalled > TimeSpan.Zero && Stalled <= TimeSpan.FromHours(1), "Registry:Memory:Stalled", $"{Stalled}",
            "more than 0, at most 1 hour");
    }
}
