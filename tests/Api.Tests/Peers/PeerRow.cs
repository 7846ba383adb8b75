using System.Text;

namespace Registry.Api.Tests.Peers;

/// <summary>A row of a table: who runs which command of a client, and what of its answer matters besides that it is the
/// same from both services.</summary>
/// <remarks>
/// <code>
/// demo1-member: openstack image create one -f json
///     keep one = id
/// demo1-reader: glance image-delete {one}
///     differs Glance says nothing of why
///     ours 1 a text that our answer has
/// </code>
/// A word in braces stands for what an earlier row kept: the value of a field of JSON or of a table. Words are set apart
/// by spaces; within apostrophes they may have some. <c>until TEXT</c> runs the command again until both services answer
/// with the text. <c>words</c>: the services refuse it with the same status, in other words. <c>names</c>: only the
/// first columns of the tables are the same. <c>code</c>: only the exit code is, for the answer tells of work that goes on
/// meanwhile. <c>unordered</c>: Glance leaves the order to its database. <c>sdk FILE</c> is a Python script beside this file;
/// <c>http</c> a request, as <see cref="PeerHttp"/> sends it.
/// </remarks>
public sealed record PeerRow(string File, int Line, string User, IReadOnlyList<string> Command)
{
    /// <summary>Name of what is kept; null for nothing.</summary>
    public string? Keep { get; private set; }

    /// <summary>Field that is kept.</summary>
    public string Field { get; private set; } = "";

    /// <summary>Text to wait for; null to run once.</summary>
    public string? Until { get; private set; }

    /// <summary>Whether the services say the same in other words.</summary>
    public bool IsInOtherWords { get; private set; }

    /// <summary>Whether only the first column of the answer is the same: the others describe it in a service's own words.
    /// </summary>
    public bool IsOfNames { get; private set; }

    /// <summary>Whether only the exit code is the same: the answer tells of work that goes on meanwhile.</summary>
    public bool IsOfCode { get; private set; }

    /// <summary>Whether Glance leaves the order to its database.</summary>
    public bool IsUnordered { get; private set; }

    /// <summary>Why the answers are different on purpose; null when they are the same.</summary>
    public string? Reason { get; private set; }

    /// <summary>Exit code that the registry's answer has then.</summary>
    public int OurCode { get; private set; }

    /// <summary>Text that the registry's answer has then.</summary>
    public string OurText { get; private set; } = "";

    /// <inheritdoc/>
    public override string ToString() => $"{File}:{Line} {User}: {string.Join(' ', Command)}";

    /// <summary>Reads a table.</summary>
    /// <exception cref="FormatException">A line is not as it should be.</exception>
    public static IReadOnlyList<PeerRow> Read(string path)
    {
        var rows = new List<PeerRow>();
        foreach (var (index, line) in System.IO.File.ReadAllLines(path).Index())
        {
            if (line.Trim().Length == 0 || line[0] == '#')
            {
                continue;
            }

            if (line[0] == ' ')
            {
                rows[^1].Note(line.Trim());
                continue;
            }

            var colon = line.IndexOf(": ", StringComparison.Ordinal);
            rows.Add(new PeerRow(Path.GetFileName(path), index + 1, line[..colon], Words(line[(colon + 2)..])));
        }

        return rows.Find(row => row.Reason is { } && row.OurText.Length == 0) is { } unsaid
            ? throw new FormatException($"{unsaid} does not say what ours answers.")
            : rows;
    }

    private void Note(string line)
    {
        var words = line.Split(' ', 2);
        switch (words[0])
        {
            case "code":
                IsOfCode = true;
                break;
            case "unordered":
                IsUnordered = true;
                break;
            case "names":
                IsOfNames = true;
                break;
            case "words":
                IsInOtherWords = true;
                break;
            case "keep":
                (Keep, Field) = (words[1].Split(" = ")[0], words[1].Split(" = ")[1]);
                break;
            case "until":
                Until = words[1];
                break;
            case "differs":
                Reason = words[1];
                break;
            case "ours":
                var code = words[1].Split(' ', 2);
                OurCode = int.Parse(code[0], System.Globalization.CultureInfo.InvariantCulture);
                OurText = code[1];
                break;
            default:
                throw new FormatException($"{File}: {line}");
        }
    }

    private static List<string> Words(string line)
    {
        var words = new List<string>();
        var word = new StringBuilder();
        var (isQuoted, isWord) = (false, false);
        foreach (var character in line + " ")
        {
            if (character == '\'')
            {
                (isQuoted, isWord) = (!isQuoted, true);
            }
            else if (character == ' ' && !isQuoted)
            {
                if (isWord)
                {
                    words.Add(word.ToString());
                }

                word.Clear();
                isWord = false;
            }
            else
            {
                word.Append(character);
                isWord = true;
            }
        }

        return words;
    }
}
