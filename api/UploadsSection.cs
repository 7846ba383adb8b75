namespace Registry.Api;

/// <summary>Registry:Uploads.</summary>
public sealed record UploadsSection
{
    /// <summary>How long an upload's claim lives without renewal.</summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How often the reaper looks for leftovers.</summary>
    public TimeSpan ReapInterval { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How old an unreferenced blob must be before it is removed.</summary>
    public TimeSpan ReapGrace { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Slowest upload accepted, bytes a second after half a minute.</summary>
    public int MinimumBytesPerSecond { get; init; } = 32 * 1024;

    /// <summary>How long one chunk of an upload may take at that rate.</summary>
    internal TimeSpan ChunkPatience(int chunkBytes) =>
        TimeSpan.FromSeconds(30 + ((double)chunkBytes / MinimumBytesPerSecond));

    /// <summary>How long a client may take for the first byte of an upload; until then it has no place among
    /// <see cref="ConcurrentMax"/>.</summary>
    public TimeSpan FirstByte { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>Maximum number of uploads that wait for their first byte. One project has at most a quarter of them, one
    /// address at most half; one more is answered with 503.</summary>
    public int SilentMax { get; init; } = 256;

    /// <summary>Most uploads at once; one more waits, and is answered with 503 after <see cref="Wait"/>.</summary>
    public int ConcurrentMax { get; init; } = 64;

    /// <summary>Most uploads of one project at once; one more waits, and is answered with 503 after <see cref="Wait"/>. 0, and
    /// authentication of kind none, leave <see cref="ConcurrentMax"/> as the only limit.</summary>
    public int ConcurrentMaxPerProject { get; init; } = 32;

    /// <summary>How long an upload waits for its place. As many uploads of a project may wait as there are places.</summary>
    public TimeSpan Wait { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate()
    {
        const string positive = "more than 0";
        RegistryOptions.Require(Lease >= TimeSpan.FromSeconds(1), "Registry:Uploads:Lease", $"{Lease}", "1 s or more");
        RegistryOptions.Require(
            ReapInterval > TimeSpan.Zero, "Registry:Uploads:ReapInterval", $"{ReapInterval}", positive);
        RegistryOptions.Require(ReapGrace >= TimeSpan.Zero, "Registry:Uploads:ReapGrace", $"{ReapGrace}", "0 or more");
        RegistryOptions.Require(
            MinimumBytesPerSecond > 0, "Registry:Uploads:MinimumBytesPerSecond", $"{MinimumBytesPerSecond}", positive);
        RegistryOptions.Require(
            FirstByte > TimeSpan.Zero && FirstByte <= TimeSpan.FromMinutes(5), "Registry:Uploads:FirstByte", $"{FirstByte}",
            "more than 0, at most 5 min");
        RegistryOptions.Require(SilentMax >= 8, "Registry:Uploads:SilentMax", $"{SilentMax}", "8 or more");
        RegistryOptions.Require(ConcurrentMax > 0, "Registry:Uploads:ConcurrentMax", $"{ConcurrentMax}", positive);
        RegistryOptions.Require(
            ConcurrentMaxPerProject >= 0, "Registry:Uploads:ConcurrentMaxPerProject", $"{ConcurrentMaxPerProject}",
            "0 or more");
        RegistryOptions.Require(
            Wait >= TimeSpan.Zero && Wait <= TimeSpan.FromMinutes(5), "Registry:Uploads:Wait", $"{Wait}", "0 to 5 minutes");
    }
}
