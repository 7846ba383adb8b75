namespace Registry.Api.Cache;

/// <summary>Registry:Cache.</summary>
public sealed record CacheSection
{
    private const long MaxBytesMin = 64L << 20;

    /// <summary>Directory on a local disk for blocks of images that are in distant stores, for this process alone; empty
    /// for no cache.</summary>
    public string Directory { get; init; } = "";

    /// <summary>Most bytes of blocks on the disk; Glance's image_cache_max_size.</summary>
    public long MaxBytes { get; init; } = 10L << 30;

    /// <summary>How long an image that somebody wants cached stays in the queue before it is fetched: he can think
    /// better of it.</summary>
    public TimeSpan QueueDelay { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How often what belongs to no image any more is looked for.</summary>
    public TimeSpan SweepInterval { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Whether there is to be a cache.</summary>
    internal bool IsWanted => Directory.Length > 0;

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate()
    {
        RegistryOptions.Require(
            MaxBytes >= MaxBytesMin, "Registry:Cache:MaxBytes", $"{MaxBytes}", $"{MaxBytesMin} (64 MiB) or more");
        RegistryOptions.Require(
            QueueDelay >= TimeSpan.Zero, "Registry:Cache:QueueDelay", $"{QueueDelay}", "0 or more");
        RegistryOptions.Require(
            SweepInterval > TimeSpan.Zero, "Registry:Cache:SweepInterval", $"{SweepInterval}", "more than 0");
    }
}
