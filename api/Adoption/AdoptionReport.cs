using System.Text.Json;

namespace Registry.Api.Adoption;

/// <summary>Counts of what became of everything, and a list of what was left out.</summary>
/// <param name="deleted">Images that were deleted in Glance.</param>
internal sealed class AdoptionReport(long deleted)
{
    private static readonly string[] Kinds = ["image", "namespace"];
    private readonly Dictionary<(string What, Adopted Outcome), long> _counts = [];
    private readonly List<AdoptionLine> _left = [];
    private long _bytes;

    /// <summary>What was left out.</summary>
    public IReadOnlyList<AdoptionLine> Left => _left;

    /// <summary>Counts a line.</summary>
    public void Add(AdoptionLine line)
    {
        _counts[(line.What, line.Outcome)] = Count(line.What, line.Outcome) + 1;
        _bytes += line.Bytes;
        if (line.Outcome == Adopted.Left)
        {
            _left.Add(line);
        }
    }

    /// <summary>The sums, for people.</summary>
    public IEnumerable<string> Summary(bool isRehearsal)
    {
        var taken = isRehearsal ? "would be taken" : "taken";
        foreach (var what in Kinds)
        {
            yield return
                $"{what}s: {Count(what, Adopted.Taken)} {taken}, {Count(what, Adopted.There)} there already, " +
                $"{Count(what, Adopted.Left)} left out" +
                (what == "image"
                    ? $", {deleted + Count(what, Adopted.Passed)} deleted or given up in Glance; {Sizes.Show(_bytes)}."
                    : ".");
        }
    }

    /// <summary>Everything, for scripts.</summary>
    public void WriteTo(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        foreach (var what in Kinds)
        {
            json.WriteStartObject(what + "s");
            json.WriteNumber("taken", Count(what, Adopted.Taken));
            json.WriteNumber("there", Count(what, Adopted.There));
            json.WriteNumber("left", Count(what, Adopted.Left));
            if (what == "image")
            {
                json.WriteNumber("deleted", deleted + Count(what, Adopted.Passed));
                json.WriteNumber("bytes", _bytes);
            }

            json.WriteEndObject();
        }

        json.WriteStartArray("left_out");
        foreach (var line in _left)
        {
            json.WriteStartObject();
            json.WriteString("kind", line.What);
            json.WriteString("name", line.Name);
            json.WriteString("code", line.Code);
            json.WriteString("reason", line.Detail);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private long Count(string what, Adopted outcome) => _counts.GetValueOrDefault((what, outcome));
}
