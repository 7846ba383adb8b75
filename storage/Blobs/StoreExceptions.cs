namespace Registry.Storage.Blobs;

/// <summary>The store has no room left.</summary>
public sealed class StoreFullException(string store, Exception? inner = null)
    : IOException($"Store '{store}' is full.", inner);

/// <summary>The store takes no bytes and gives none up: it is for reading only.</summary>
public sealed class StoreReadOnlyException(string store) : IOException($"Store '{store}' is read-only.");

/// <summary>The store cannot be reached, fails, or refuses to serve.</summary>
/// <param name="store">The store's id.</param>
/// <param name="problem">What it does, as the end of a sentence that begins with the store.</param>
/// <param name="mayPass">Whether the same may work later.</param>
/// <param name="inner">What lies behind it, for the log.</param>
public sealed class StoreUnavailableException(string store, string problem, bool mayPass, Exception? inner = null)
    : IOException($"Store '{store}' {problem}.", inner)
{
    /// <summary>The store's id.</summary>
    public string Store { get; } = store;

    /// <summary>Whether the same may work later. False: somebody has to change a setting.</summary>
    public bool MayPass { get; } = mayPass;
}
