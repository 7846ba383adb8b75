using System.Text;

namespace Registry.Support;

/// <summary>A body that was made to hurt whoever reads it (spec/reliability.md, N7 and N8).</summary>
/// <param name="Name">What it is.</param>
/// <param name="IsPatch">Whether it is meant to patch an image; else to register one.</param>
/// <param name="Body">The bytes.</param>
/// <param name="Status">The HTTP status that refuses it.</param>
public sealed record JsonBomb(string Name, bool IsPatch, byte[] Body, int Status)
{
    private static readonly byte[][] NoText = [[0xC3, 0x28], [0xED, 0xA0, 0x80], [0xC0, 0x80], [0xFF]];

    /// <summary>All of them.</summary>
    public static IReadOnlyList<JsonBomb> All { get; } =
    [
        Create("10,000 arrays", new string('[', 10_000)),
        Create("10,000 objects", """{"a":""" + Repeat("""{"a":""", 10_000) + "1" + new string('}', 10_001)),
        Create("5 MiB in one text", $$"""{"name":"{{new string('x', 5 << 20)}}"}""", 413),
        Create("a name twice", """{"name":"a","name":"b"}"""),
        Create("100,000 names", "{" + Repeat("\"a\":\"b\",", 100_000) + "\"c\":\"d\"}", 413),
        Create("1e400", """{"min_disk":1e400}"""),
        Create("less than nothing", """{"min_disk":-1}"""),
        Create("a fraction", """{"min_disk":1.5}"""),
        Create("20 digits", """{"min_disk":99999999999999999999}"""),
        Create("half a character", """{"name":"\ud800"}"""),
        Create("half a character as a name", """{"\ud800":"x"}"""),
        Create("a NUL", """{"name":"a\u0000b"}"""),
        Create("two values", """{"name":"a"} {"name":"b"}"""),
        Create("NaN", """{"name":NaN}"""),
        Create("an array", "[]"),
        Create("null", "null"),
        Create("nothing", ""),
        .. NoText.Select((bytes, n) => new JsonBomb(
            $"no UTF-8 ({n})", IsPatch: false, [.. "{\"name\":\""u8, .. bytes, .. "\"}"u8], 400)),
        Patch("257 operations", """{"op":"replace","path":"/name","value":"x"}""", 257, 413),
        Patch("100,000 operations", """{"op":"add","path":"/x","value":"x"}""", 100_000, 413),
        Patch("a hundred tags", """{"op":"add","path":"/tags/-","value":"x"}""", 100),
        Patch("a copy", """{"op":"copy","from":"/name","path":"/x"}"""),
        Patch("a test", """{"op":"test","path":"/name","value":"x"}"""),
        Patch("an escape that is none", """{"op":"add","path":"/a~2b","value":"x"}"""),
        Patch("a path below a property", """{"op":"add","path":"/a~1b/c","value":"x"}"""),
        Patch("1e400 as a property", """{"op":"add","path":"/x","value":1e400}"""),
        Patch("two verbs", """{"op":"add","op":"remove","path":"/x","value":"x"}"""),
        Patch("an object as a property", """{"op":"add","path":"/__proto__","value":{"x":"y"}}"""),
    ];

    /// <inheritdoc/>
    public override string ToString() => Name;

    private static JsonBomb Create(string name, string body, int status = 400) =>
        new(name, IsPatch: false, Encoding.UTF8.GetBytes(body), status);

    private static JsonBomb Patch(string name, string operation, int count = 1, int status = 400) => new(
        name, IsPatch: true,
        Encoding.UTF8.GetBytes("[" + string.Join(',', Enumerable.Repeat(operation, count)) + "]"), status);

    private static string Repeat(string text, int count) => string.Concat(Enumerable.Repeat(text, count));
}
