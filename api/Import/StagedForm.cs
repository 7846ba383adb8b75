using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Registry.Engine.Inspect;
using Registry.Storage.Domain;

namespace Registry.Api.Import;

/// <summary>What has been done to staged bytes since they came: the words of <see cref="StagedBlob.Form"/>.</summary>
internal static class StagedForm
{
    /// <summary>Nothing: they are what the client sent or the URL answered.</summary>
    public const string Received = "received";

    /// <summary>They were unpacked.</summary>
    public const string Unpacked = "unpacked";

    /// <summary>They are the disk that was in an OVA archive.</summary>
    public const string TakenOut = "taken_out";

    /// <summary>They were converted to another disk format.</summary>
    public const string Converted = "converted";

    private static readonly JsonSerializerOptions Words = new() { Converters = { new JsonStringEnumConverter() } };

    private const string Nested = "NestedReference";

    /// <summary>Writes down what bytes were found to be.</summary>
    /// <param name="inspection">What they are.</param>
    /// <param name="nested">What in the disk refers to another file; null for nothing.</param>
    public static string Write(Inspection inspection, string? nested)
    {
        var json = JsonSerializer.SerializeToNode(inspection, Words)!;
        json[Nested] = nested;
        return json.ToJsonString();
    }

    /// <summary>Reads what in the disk refers to another file; null for nothing.</summary>
    public static string? ReadNested(StagedBlob staged) => (string?)JsonNode.Parse(staged.Inspection)![Nested];

    /// <summary>Reads what bytes were found to be.</summary>
    public static Inspection ReadInspection(StagedBlob staged) =>
        JsonSerializer.Deserialize<Inspection>(staged.Inspection, Words)!;
}
