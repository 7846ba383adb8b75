using System.Text.Json;
using Registry.Api.Federation;
using Registry.Api.Locations;
using Registry.Storage.Domain;

namespace Registry.Api.Import;

/// <summary>What an import's job is told.</summary>
/// <param name="Method">The method.</param>
/// <param name="Uri">What to download; null for other methods.</param>
/// <param name="Stores">The stores to bring the bytes to, the first one first.</param>
/// <param name="MustSucceed">Whether one store that fails fails the import.</param>
/// <param name="Injects">Whether the image gets the operator's properties.</param>
/// <param name="Location">The location to take the bytes over from; null for other methods.</param>
/// <param name="NamedStores">The stores that the caller named; null when none were.</param>
/// <param name="AllStores">Whether the caller asked for all stores.</param>
/// <param name="TaskInput">Input of the task that made the image for this import, JSON: should it fail, the image goes
/// again. Null for an image that was there before.</param>
/// <param name="Remote">The image of another region to take over; null for other methods.</param>
/// <param name="Refusal">Why the image of another region cannot be had; null when it can.</param>
internal sealed record ImportOrder(
    string Method,
    string? Uri,
    IReadOnlyList<string> Stores,
    bool MustSucceed,
    bool Injects,
    NewLocation? Location = null,
    IReadOnlyList<string>? NamedStores = null,
    bool AllStores = false,
    string? TaskInput = null,
    RemoteImage? Remote = null,
    RemoteRefusal? Refusal = null)
{
    /// <summary>The kind of these jobs.</summary>
    public const string Kind = "import";

    /// <summary>An order to take the bytes of a location over into a store.</summary>
    public static ImportOrder OfLocation(NewLocation location, string storeId) =>
        new(ImportMethods.Location, Uri: null, [storeId], MustSucceed: true, Injects: false, location);

    /// <summary>Reads a job's.</summary>
    public static ImportOrder Of(Job job) => Read(job.Input);

    /// <summary>Reads what a job keeps.</summary>
    public static ImportOrder Read(string input) => JsonSerializer.Deserialize<ImportOrder>(input)!;

    /// <summary>As a job keeps it.</summary>
    public JobOrder ToJob() => new(Kind, JsonSerializer.Serialize(this));
}
