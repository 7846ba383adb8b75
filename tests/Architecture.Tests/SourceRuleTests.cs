using System.Text.RegularExpressions;
using Xunit;

namespace Registry.Architecture.Tests;

/// <summary>What must not stand in the sources, and why.</summary>
public sealed partial class SourceRuleTests
{
    private const int MostLines = 400;
    private static readonly string[] Product = ["engine", "storage", "api"];
    private static readonly string[] EmptyWords =
        ["Helpers", "Helper", "Utils", "Utilities", "Common", "Services", "Managers", "Misc"];

    /// <summary>Text, and why it is forbidden in the product.</summary>
    public static TheoryData<string, string> ForbiddenTexts => new()
    {
        { "Flush(true)", "reports success when fsync fails; use DurableFile" },
        { "flushToDisk: true", "reports success when fsync fails; use DurableFile" },
        { "FlushToDisk(", "reports success when fsync fails; use DurableFile" },
        { "Process.Start", "the server starts no programs" },
        { "ProcessStartInfo", "the server starts no programs" },
        { "DateTime.UtcNow", "time comes from TimeProvider" },
        { "DateTime.Now", "time comes from TimeProvider" },
        { "DateTimeOffset.UtcNow", "time comes from TimeProvider" },
        { "DateTimeOffset.Now", "time comes from TimeProvider" },
        { "BinaryFormatter", "never deserialises types" },
        { "UnsafeRelaxedJsonEscaping", "the console shows what users wrote" },
        { "AllowAutoRedirect = true", "a redirect must be judged like the first address" },
        { "NotImplementedException", "nothing is left out" },
        { "TODO", "nothing is left out" },
        { "FIXME", "nothing is left out" },
        { "Thread.Sleep", "waiting is asynchronous and cancellable" },
        { ".GetAwaiter().GetResult()", "waiting is asynchronous and cancellable" },
    };

    [Theory]
    [MemberData(nameof(ForbiddenTexts))]
    public void Forbidden_in_the_product(string text, string why)
    {
        var offenders =
            from file in SourceTree.Files(Product)
            from line in file.CodeLines
            where line.Text.Contains(text, StringComparison.Ordinal)
            select $"{file.Path}:{line.Number}: {why}: {line.Text.Trim()}";

        Assert.Empty(offenders);
    }

    [Fact]
    public void Requests_start_no_work_behind_their_back()
    {
        var offenders =
            from file in SourceTree.Files("api")
            where file.Path.EndsWith("Endpoints.cs", StringComparison.Ordinal)
                || file.Path.StartsWith("api/Grpc/", StringComparison.Ordinal)
            from line in file.CodeLines
            where line.Text.Contains("Task.Run(", StringComparison.Ordinal)
            select $"{file.Path}:{line.Number}: work that outlives a request is a job";

        Assert.Empty(offenders);
    }

    [Fact]
    public void A_blob_is_deleted_by_its_key_only_behind_the_fence()
    {
        var offenders =
            from file in SourceTree.Files("storage", "api")
            where file.Path is not ("storage/Blobs/BlobRemoval.cs" or "storage/Blobs/S3/S3BlobWriter.cs")
            from line in file.CodeLines
            where DeletedByKey().IsMatch(line.Text)
            select $"{file.Path}:{line.Number}: another attempt may have committed it; use BlobRemoval";

        Assert.Empty(offenders);
    }

    [Fact]
    public void No_exception_is_swallowed_in_silence()
    {
        var offenders = SourceTree.Files()
            .Where(file => EmptyCatch().IsMatch(file.Text))
            .Select(file => file.Path);

        Assert.Empty(offenders);
    }

    [Fact]
    public void A_file_is_read_in_one_sitting()
    {
        var offenders = SourceTree.Files()
            .Where(file => file.Lines.Length > MostLines)
            .Select(file => $"{file.Path}: {file.Lines.Length} lines");

        Assert.Empty(offenders);
    }

    [Fact]
    public void Names_of_folders_and_namespaces_say_something()
    {
        var offenders =
            from file in SourceTree.Files()
            let space = Namespace().Match(file.Text).Groups[1].Value
            where space.Split('.').Concat(file.Path.Split('/')[..^1]).Any(EmptyWords.Contains)
            select $"{file.Path}: {space}";

        Assert.Empty(offenders);
    }

    [Fact]
    public void The_rules_read_the_real_tree()
    {
        Assert.Contains(SourceTree.Files("engine"), file => file.Path == "engine/Disks/DiskImage.cs");
        Assert.Matches(DeletedByKey(), "await store.DeleteAsync(entry.Key, cancellationToken)");
        Assert.Matches(DeletedByKey(), "store.DeleteAsync(key, token)");
        Assert.Matches(EmptyCatch(), "try { x(); } catch (IOException e) when (e.HResult == 1)\n{\n}");
        Assert.DoesNotMatch(EmptyCatch(), "catch (OperationCanceledException)\n{\n    // The server stops.\n}");
    }

    [GeneratedRegex(@"\.DeleteAsync\((\w+\.)*_?[kK]ey\b")]
    private static partial Regex DeletedByKey();

    [GeneratedRegex(@"\bcatch\s*(\([^)]*\)\s*)?(when\s*\([^{]*\)\s*)?\{\s*\}")]
    private static partial Regex EmptyCatch();

    [GeneratedRegex(@"^namespace\s+([\w.]+)", RegexOptions.Multiline)]
    private static partial Regex Namespace();
}
