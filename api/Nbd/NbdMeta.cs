using System.Buffers.Binary;
using System.Text;

namespace Registry.Api.Nbd;

/// <summary>A question for metadata contexts: LIST_META_CONTEXT and SET_META_CONTEXT. There is one:
/// <c>base:allocation</c>.</summary>
/// <param name="ExportName">Of which export.</param>
/// <param name="Queries">The contexts wanted.</param>
internal sealed record NbdMeta(string ExportName, IReadOnlyList<string> Queries)
{
    /// <summary>The context's name.</summary>
    public const string Allocation = "base:allocation";

    /// <summary>The number that it is given.</summary>
    public const uint AllocationId = 1;

    private const string Wildcard = "base:";
    private const int QueriesMax = 256;

    /// <summary>Reads a question.</summary>
    /// <returns>Null where it is malformed or goes on for too long.</returns>
    public static NbdMeta? TryParse(ReadOnlySpan<byte> data)
    {
        if (!TryTakeText(ref data, out var name) || data.Length < sizeof(uint))
        {
            return null;
        }

        var count = BinaryPrimitives.ReadUInt32BigEndian(data);
        data = data[sizeof(uint)..];
        if (count > QueriesMax)
        {
            return null;
        }

        var queries = new List<string>();
        for (var i = 0; i < count; i++)
        {
            if (!TryTakeText(ref data, out var query))
            {
                return null;
            }

            queries.Add(query);
        }

        return data.IsEmpty ? new NbdMeta(name, queries) : null;
    }

    /// <summary>Takes a length and as many bytes of text.</summary>
    public static bool TryTakeText(ref ReadOnlySpan<byte> data, out string text)
    {
        text = "";
        if (data.Length < sizeof(uint))
        {
            return false;
        }

        var length = BinaryPrimitives.ReadUInt32BigEndian(data);
        data = data[sizeof(uint)..];
        if (length > NbdExportName.MaxBytes || length > data.Length)
        {
            return false;
        }

        text = Encoding.UTF8.GetString(data[..(int)length]);
        data = data[(int)length..];
        return true;
    }

    /// <summary>Whether the context is to be listed.</summary>
    public bool Lists() => Queries.Count == 0 || Queries.Contains(Wildcard) || Selects();

    /// <summary>Whether the context is to be used.</summary>
    public bool Selects() => Queries.Contains(Allocation);
}
