using System.Buffers.Binary;

namespace Registry.Api.Nbd;

/// <summary>What INFO and GO say.</summary>
/// <param name="ExportName">Of which export.</param>
/// <param name="Wanted">What is to be told of it, beside its size and abilities.</param>
internal sealed record NbdQuestion(string ExportName, IReadOnlyList<NbdInfo> Wanted)
{
    /// <summary>Reads a question.</summary>
    /// <returns>Null where it is malformed.</returns>
    public static NbdQuestion? TryParse(ReadOnlySpan<byte> data)
    {
        if (!NbdMeta.TryTakeText(ref data, out var name) || data.Length < sizeof(ushort))
        {
            return null;
        }

        var wanted = new List<NbdInfo>();
        var count = BinaryPrimitives.ReadUInt16BigEndian(data);
        data = data[sizeof(ushort)..];
        for (; count > 0 && data.Length >= sizeof(ushort); count--, data = data[sizeof(ushort)..])
        {
            wanted.Add((NbdInfo)BinaryPrimitives.ReadUInt16BigEndian(data));
        }

        return count == 0 && data.IsEmpty ? new NbdQuestion(name, wanted) : null;
    }
}
