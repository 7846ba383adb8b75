namespace Registry.Storage.Blobs.Remote;

/// <summary>How long a distant store is waited for.</summary>
/// <param name="Silence">Longest time without a byte or an answer before a request is tried again.</param>
/// <param name="Deadline">Longest time for one operation with all its retries; bytes that flow extend it, one second for
/// each <see cref="BytesPerSecond"/>.</param>
public readonly record struct StorePatience(TimeSpan Silence, TimeSpan Deadline)
{
    /// <summary>Slowest flow of bytes that is not taken for a failure, after <see cref="Deadline"/>.</summary>
    internal const int BytesPerSecond = 512 * 1024;

    /// <summary>10 and 30 seconds.</summary>
    public static StorePatience Default { get; } = new(TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(30));
}
