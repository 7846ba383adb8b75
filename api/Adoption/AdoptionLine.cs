using System.Text;

namespace Registry.Api.Adoption;

/// <summary>What became of something in Glance's database.</summary>
internal enum Adopted
{
    /// <summary>It is ours now, or would be.</summary>
    Taken,

    /// <summary>We had it already.</summary>
    There,

    /// <summary>Glance itself had given it up: a deletion under way, a failed upload.</summary>
    Passed,

    /// <summary>It was not taken, and somebody has to look at it.</summary>
    Left,
}

/// <summary>One line of the report.</summary>
/// <param name="What">image or namespace.</param>
/// <param name="Name">Its id, or its name.</param>
/// <param name="Outcome">What became of it.</param>
/// <param name="Detail">What was done, or why it was not, in a sentence.</param>
/// <param name="Code">A stable word for why it was not; null where it was.</param>
/// <param name="Bytes">Bytes taken.</param>
internal sealed record AdoptionLine(
    string What, string Name, Adopted Outcome, string Detail, string? Code = null, long Bytes = 0)
{
    /// <summary>The line as people read it; names come from others, and do not steer a terminal.</summary>
    public override string ToString()
    {
        var text = new StringBuilder($"{What} {Name}: {Word} ({Detail}{(Code is null ? "" : "; " + Code)})");
        for (var i = 0; i < text.Length; i++)
        {
            text[i] = char.IsControl(text[i]) ? '?' : text[i];
        }

        return text.ToString();
    }

    /// <summary>What became of it, in a word or two.</summary>
    public string Word => Outcome switch
    {
        Adopted.Taken => "taken",
        Adopted.There => "there already",
        Adopted.Passed => "passed over",
        Adopted.Left => "left out",
        _ => throw new ArgumentOutOfRangeException(nameof(Outcome)),
    };
}
