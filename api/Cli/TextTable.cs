namespace Registry.Api.Cli;

/// <summary>A table of text with aligned columns.</summary>
internal static class TextTable
{
    /// <summary>Prints a table on standard output.</summary>
    public static void Write(string[] header, IEnumerable<string[]> lines)
    {
        List<string[]> rows = [header, .. lines.Select(line => Array.ConvertAll(line, Terminal.Printable))];
        var widths = Enumerable.Range(0, header.Length).Select(column => rows.Max(row => row[column].Length)).ToArray();
        foreach (var row in rows)
        {
            Console.WriteLine(string.Join("  ", row.Select((cell, column) => cell.PadRight(widths[column]))).TrimEnd());
        }
    }
}
