using Registry.Support;

namespace Registry.Architecture.Tests;

/// <summary>A source file.</summary>
/// <param name="Path">Path from the top of the tree, with slashes.</param>
/// <param name="Lines">Its lines.</param>
internal sealed record SourceFile(string Path, string[] Lines)
{
    /// <summary>The whole text.</summary>
    public string Text => string.Join('\n', Lines);

    /// <summary>Lines that are not comments, with their numbers from 1.</summary>
    public IEnumerable<(int Number, string Text)> CodeLines => Lines
        .Select((text, index) => (Number: index + 1, Text: text))
        .Where(line => !line.Text.TrimStart().StartsWith("//", StringComparison.Ordinal));
}

/// <summary>The C# sources of the repository that this test was built in.</summary>
internal static class SourceTree
{
    private static readonly string[] NotSources = ["artifacts", "bin", "obj", ".git", "Migrations"];

    /// <summary>Every hand-written C# file under the given top-level folders; under all when none is given.</summary>
    public static IEnumerable<SourceFile> Files(params string[] folders) =>
        from path in Directory.EnumerateFiles(RepositoryTree.Root, "*.cs", SearchOption.AllDirectories)
        let relative = Path.GetRelativePath(RepositoryTree.Root, path)
        let parts = relative.Split('/')
        where !parts.Any(NotSources.Contains)
        where folders.Length == 0 || folders.Contains(parts[0])
        orderby relative
        select new SourceFile(relative, File.ReadAllLines(path));
}
