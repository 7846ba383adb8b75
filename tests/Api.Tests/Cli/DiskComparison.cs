using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>Runs one command line with qemu-img and with <c>registry disk</c>, and requires that they answer and do the
/// same.</summary>
/// <remarks>What may differ is said in <c>registry disk --help</c>; each line of it has its place here.</remarks>
internal sealed partial class DiskComparison(DiskLab lab) : IDisposable
{
    // Times, what the file takes on its disk, and ids that are random.
    private static readonly string[] OwnKeys =
        ["actual-size", "date-sec", "date-nsec", "vm-clock-sec", "vm-clock-nsec", "uuid", "iters", "master-key-iters"];
    private static readonly string[] ReadingVerbs = ["info", "map", "check", "compare", "measure", "bench"];

    private readonly TempDirectory _directory = new();
    private readonly ExternalTool _qemuImg = ExternalTool.Require("qemu-img");

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    /// <inheritdoc/>
    public void Dispose() => _directory.Dispose();

    /// <summary>Runs a command line both ways.</summary>
    /// <param name="line">Verb and arguments, separated by single spaces; <c>{NAME}</c> is a file, one of the lab's or
    /// a new one.</param>
    /// <param name="result">The file whose content counts afterwards; null for none.</param>
    public async Task ExpectSameAsync(string line, string? result)
    {
        var names = Placeholder().Matches(line).Select(match => match.Groups[1].Value).ToList();
        var isReading = ReadingVerbs.Contains(line.Split(' ')[0]) && !Changing().IsMatch(line);
        var (left, right) = isReading ? (lab.Home, lab.Home) : (_directory.File("q"), _directory.File("r"));
        if (!isReading)
        {
            await lab.CopyAsync(names, left);
            await lab.CopyAsync(names, right);
        }

        var theirs = await _qemuImg.RunAsync(Arguments(line, left), Stop, timeout: TimeSpan.FromMinutes(1));
        string[] given = ["disk", .. Arguments(line, right)];

        // What shows progress looks whether this is a terminal.
        var ours = given.Contains("-p")
            ? await ExternalTool.Require(RegistryProcess.Executable).RunAsync(given, Stop)
            : await RegistryCommandLine.RunAsync(given);

        var both = $"{line}\nqemu-img: {theirs.ExitCode}\n{theirs.Output}{theirs.Error}\n"
            + $"registry: {ours.ExitCode}\n{ours.Output}{ours.Error}";
        Assert.True(theirs.ExitCode == ours.ExitCode, both);
        var isRefused = ours.ExitCode != 0 && ours.Error.StartsWith("registry: ", StringComparison.Ordinal);

        // qemu-img says what it is going to make before it finds that it cannot, and leaves what it has made of it.
        Assert.True(isRefused || Same(Plain(theirs.Output, left), Plain(ours.Output, right)), both);
        Assert.True(isRefused || ours.ExitCode != 1 || ours.Output.Length > 0 || given.Contains("-q"), both);
        if (result is not null && !(isRefused && !File.Exists(Path.Combine(right, result))))
        {
            await ExpectSameFileAsync(Path.Combine(left, result), Path.Combine(right, result), both);
        }
    }

    private static IEnumerable<string> Arguments(string line, string home) =>
        line.Split(' ').Select(word => Placeholder().Replace(word, match => Path.Combine(home, match.Groups[1].Value)));

    private static bool Same(string theirs, string ours) =>
        theirs == ours || (theirs.StartsWith('{') && JsonNode.DeepEquals(JsonNode.Parse(theirs), JsonNode.Parse(ours)));

    private static string Plain(string output, string home)
    {
        var text = Seconds().Replace(Progress().Replace(output, "PROGRESS"), "N seconds");
        return text.Replace(home, "HOME", StringComparison.Ordinal);
    }

    private async Task ExpectSameFileAsync(string theirs, string ours, string both)
    {
        Assert.True(File.Exists(theirs) == File.Exists(ours), "Only one made the file: " + both);
        if (!File.Exists(theirs))
        {
            return;
        }

        var format = Path.GetExtension(theirs).TrimStart('.');
        if (format == "qcow2")
        {
            var check = await _qemuImg.RunAsync(["check", "-f", format, ours], Stop);
            var expected = await _qemuImg.RunAsync(["check", "-f", format, theirs], Stop);
            Assert.True(check.ExitCode == expected.ExitCode, check.Output + check.Error + both);
        }

        if (await InfoAsync(theirs, format, both) is { } info)
        {
            Assert.True(JsonNode.DeepEquals(info, await InfoAsync(ours, format, both)), both);
            if (info["encrypted"] is null)
            {
                var compare = await _qemuImg.RunAsync(["compare", "-f", format, "-F", format, theirs, ours], Stop);
                Assert.True(compare.ExitCode == 0, compare.Output + compare.Error + both);
            }
        }
    }

    private async Task<JsonNode?> InfoAsync(string file, string format, string both)
    {
        var info = await _qemuImg.RunAsync(["info", "--output=json", "-f", format, file], Stop);
        Assert.True(info.ExitCode == 0, info.Error + both);
        var home = Path.GetDirectoryName(file)!;
        var node = JsonNode.Parse(info.Output.Replace(home, "HOME", StringComparison.Ordinal));
        Forget(node);
        return node;
    }

    private static void Forget(JsonNode? node)
    {
        if (node is JsonObject map)
        {
            Array.ForEach(OwnKeys, key => map.Remove(key));
        }

        foreach (var inner in node switch { JsonObject o => o.Select(p => p.Value), JsonArray a => a, _ => [] })
        {
            Forget(inner);
        }
    }

    [GeneratedRegex(@"\{([\w.-]+)\}")]
    private static partial Regex Placeholder();

    [GeneratedRegex(@" -r (leaks|all)| -w( |$)")]
    private static partial Regex Changing();

    [GeneratedRegex(@"(    \(\d+\.\d\d/100%\)\r)+")]
    private static partial Regex Progress();

    [GeneratedRegex(@"\d+\.\d{3} seconds")]
    private static partial Regex Seconds();
}
