using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json;
using Registry.Engine.Disks;

namespace Registry.Engine.Tests.Oracle;

/// <summary>Runs qemu-img and qemu-io, the reference that outputs and readings are held against.</summary>
internal static class QemuImg
{
    private static readonly string? ImgPath = Find("qemu-img");
    private static readonly string? IoPath = Find("qemu-io");

    /// <summary>Skips the test where qemu is not installed; fails it where it must be (CI).</summary>
    public static void Require()
    {
        if (ImgPath is not null && IoPath is not null)
        {
            return;
        }

        if (string.Equals(Environment.GetEnvironmentVariable("CI"), "true", StringComparison.OrdinalIgnoreCase))
        {
            Assert.Fail("qemu-img and qemu-io are not on PATH, and CI requires them.");
        }

        Assert.Skip("qemu-img and qemu-io are not on PATH.");
    }

    /// <summary>Runs qemu-img; throws when it fails.</summary>
    public static string Run(params string[] arguments) => Execute(ImgPath!, arguments, expectSuccess: true).Output;

    /// <summary>Runs qemu-img and gives its exit code.</summary>
    public static (int ExitCode, string Output) TryRun(params string[] arguments) =>
        Execute(ImgPath!, arguments, expectSuccess: false);

    /// <summary>Creates an image.</summary>
    public static void Create(string path, long size, string options = "") =>
        Run(options.Length == 0
            ? ["create", "-q", "-f", "qcow2", path, $"{size}"]
            : ["create", "-q", "-f", "qcow2", "-o", options, path, $"{size}"]);

    /// <summary>Runs qemu-io commands on an image, all in one process.</summary>
    /// <param name="path">The image.</param>
    /// <param name="commands">The commands.</param>
    /// <param name="format">Its format.</param>
    /// <param name="mayFail">Whether single commands may fail, as compressed writes do on allocated clusters.</param>
    public static void Io(string path, IEnumerable<string> commands, string format = "qcow2", bool mayFail = false)
    {
        var arguments = new List<string> { "-f", format };
        foreach (var command in commands)
        {
            arguments.Add("-c");
            arguments.Add(command);
        }

        arguments.Add(path);
        var (_, output) = Execute(IoPath!, arguments, expectSuccess: !mayFail);
        if (!mayFail)
        {
            Assert.DoesNotContain("failed", output, StringComparison.OrdinalIgnoreCase);
        }
    }

    /// <summary>Opens a qcow2 image for reading and writing, as an instance's disk is, and reads its first sector if it has
    /// one.</summary>
    /// <returns>Whether that succeeded, and what was printed.</returns>
    public static (bool Opens, string Output) TryOpen(string path)
    {
        Span<byte> head = stackalloc byte[32];
        using (var file = File.OpenHandle(path))
        {
            RandomAccess.Read(file, head, 0);
        }

        var isEmpty = System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(head[24..]) < 512;
        var (code, output) = Execute(
            IoPath!, ["-f", "qcow2", "-c", isEmpty ? "length" : "read 0 512", path], expectSuccess: false);
        return (code == 0 && !output.Contains("read failed", StringComparison.Ordinal), output);
    }

    /// <summary>Runs qemu-io commands on an image that is named by options.</summary>
    public static void IoWith(IEnumerable<string> image, IEnumerable<string> commands)
    {
        var (_, output) = Execute(
            IoPath!, [.. commands.SelectMany(command => new[] { "-c", command }), .. image], expectSuccess: true);
        Assert.DoesNotContain("failed", output, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>The disk's content as a raw file beside the image.</summary>
    public static string ToRaw(string path, string format = "qcow2")
    {
        var raw = path + ".oracle.raw";
        Run("convert", "-f", format, "-O", "raw", path, raw);
        return raw;
    }

    /// <summary>SHA-256 of a file.</summary>
    public static string Sha256(string path)
    {
        using var stream = File.OpenRead(path);
        return System.Convert.ToHexStringLower(SHA256.HashData(stream));
    }

    /// <summary>Fails unless the image is free of errors and leaks.</summary>
    public static void Check(string path)
    {
        var (code, output) = TryRun("check", "-f", "qcow2", path);
        Assert.True(code == 0, $"qemu-img check: {code}\n{output}");
    }

    /// <summary>Fails unless both images read the same.</summary>
    public static void Compare(string a, string aFormat, string b, string bFormat)
    {
        var (code, output) = TryRun("compare", "-f", aFormat, "-F", bFormat, a, b);
        Assert.True(code == 0, $"qemu-img compare: {code}\n{output}");
    }

    /// <summary>The image's map: start, length, zero, data, offset (-1 when there is none), compressed.</summary>
    public static List<MapEntry> Map(string path, string format = "qcow2")
    {
        using var json = JsonDocument.Parse(Run("map", "--output=json", "-f", format, path));
        var entries = new List<MapEntry>();
        foreach (var entry in json.RootElement.EnumerateArray())
        {
            entries.Add(new MapEntry(
                entry.GetProperty("start").GetInt64(),
                entry.GetProperty("length").GetInt64(),
                entry.GetProperty("zero").GetBoolean(),
                entry.GetProperty("data").GetBoolean(),
                entry.TryGetProperty("offset", out var offset) ? offset.GetInt64() : -1));
        }

        return entries;
    }

    /// <summary>What <c>qemu-img map</c> says, complete.</summary>
    public static List<BlockStatus> Status(string path, string format)
    {
        using var json = JsonDocument.Parse(Run("map", "--output=json", "-f", format, path));
        return StatusOf(json.RootElement);
    }

    /// <summary>Reads the output of <c>qemu-img map --output=json</c>.</summary>
    public static List<BlockStatus> StatusOf(JsonElement map) => [.. map.EnumerateArray()
        .Select(entry => new BlockStatus(
            entry.GetProperty("start").GetInt64(),
            entry.GetProperty("length").GetInt64(),
            entry.GetProperty("depth").GetInt32(),
            entry.GetProperty("present").GetBoolean(),
            entry.GetProperty("zero").GetBoolean(),
            entry.GetProperty("data").GetBoolean(),
            entry.TryGetProperty("offset", out var offset) ? offset.GetInt64() : -1))
        .Where(entry => entry.Length > 0)];

    private static string? Find(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':')
            .Select(directory => Path.Combine(directory, name))
            .FirstOrDefault(File.Exists);

    private static (int ExitCode, string Output) Execute(string path, IEnumerable<string> arguments, bool expectSuccess)
    {
        var start = new ProcessStartInfo(path, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        var all = output + error.GetAwaiter().GetResult();
        Assert.True(
            !expectSuccess || process.ExitCode == 0,
            $"{path} {string.Join(' ', arguments)}: {process.ExitCode}\n{all}");
        return (process.ExitCode, expectSuccess ? output : all);
    }

    /// <summary>One line of the map.</summary>
    internal readonly record struct MapEntry(long Start, long Length, bool Zero, bool Data, long Offset);
}
