using System.Text.Json;
using Registry.Storage.Domain;

namespace Registry.Api.Import;

/// <summary>What an import's job is told.</summary>
/// <param name="Method">The method.</param>
/// <param name="Uri">What to download; null for other methods.</param>
/// <param name="Stores">The stores to bring the bytes to, the first one first.</param>
/// <param name="MustSucceed">Whether one store that fails fails the import.</param>
/// <param name="Injects">Whether the image gets the operator's properties.</param>
internal sealed record ImportOrder(
    string Method, string? Uri, IReadOnlyList<string> Stores, bool MustSucceed, bool Injects)
{
    /// <summary>The kind of these jobs.</summary>
    public const string Kind = "import";

    /// <summary>Reads a job's.</summary>
    public static ImportOrder Of(Job job) => JsonSerializer.Deserialize<ImportOrder>(job.Input)!;

    /// <summary>As a job keeps it.</summary>
    public JobOrder ToJob() => new(Kind, JsonSerializer.Serialize(this));
}
