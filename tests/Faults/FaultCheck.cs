namespace Registry.Faults;

/// <summary>One promise and the fault that tries it.</summary>
internal abstract class FaultCheck
{
    /// <summary>Its name on the command line, and of the command below tests/faults.</summary>
    public abstract string Name { get; }

    /// <summary>What it does and requires, for --help.</summary>
    public abstract string Description { get; }

    /// <summary>Rounds, images or jobs, whatever it counts, in a full run.</summary>
    public virtual int Rounds => 1;

    /// <summary>The same in a short run.</summary>
    public virtual int SmokeRounds => 1;

    /// <summary>Whether the short run of all checks has it on a configuration: not where it would say nothing, or what the
    /// other configuration says already.</summary>
    /// <param name="isProduction">Whether on PostgreSQL and S3.</param>
    public virtual bool IsSmoked(bool isProduction) => true;

    /// <summary>Whether it says something of SQLite and a directory.</summary>
    public virtual bool OnEmbedded => true;

    /// <summary>Whether it says something of PostgreSQL and S3.</summary>
    public virtual bool OnProduction => true;

    /// <summary>Makes the check.</summary>
    /// <returns>What was seen, for the summary line.</returns>
    /// <exception cref="FaultException">A promise was broken.</exception>
    /// <exception cref="CannotRunException">It cannot be made here.</exception>
    public abstract Task<string> RunAsync(Trial trial);
}

/// <summary>A run of a check on one configuration.</summary>
/// <param name="Servers">What sites are made of.</param>
/// <param name="IsProduction">Whether on PostgreSQL and S3.</param>
/// <param name="Rounds">How often.</param>
/// <param name="Seed">Of all choices.</param>
/// <param name="IsSmoke">Whether a short run, beside other tests.</param>
/// <param name="Say">Tells how far it is.</param>
internal sealed record Trial(
    Servers Servers, bool IsProduction, int Rounds, int Seed, bool IsSmoke, Action<string> Say)
{
    private const int LoadedMachine = 6;

    /// <summary>How long something may take: <paramref name="limit"/> on a machine of its own. Beside other tests a
    /// processor may be away for seconds, which says nothing of the registry; what never comes is still found.</summary>
    public TimeSpan Within(TimeSpan limit) => IsSmoke ? limit * LoadedMachine : limit;

    /// <summary>The choices.</summary>
    public Random Random { get; } = new(Seed);

    /// <summary>A site of the configuration, new and empty.</summary>
    public async Task<Site> NewSiteAsync() =>
        IsProduction ? await ProductionSite.CreateAsync(Servers) : new EmbeddedSite();

    /// <summary>Random bytes.</summary>
    public byte[] Bytes(int length)
    {
        var bytes = new byte[length];
        Random.NextBytes(bytes);
        return bytes;
    }
}
