using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>Every verb that writes a file of the user's choice, run on a target.</summary>
internal sealed class TargetVerbs(RegistryApp app) : IDisposable
{
    private const int DiskBytes = 3 << 20;

    private readonly TempDirectory _directory = new();
    private readonly byte[] _content = Make(DiskBytes);
    private string? _image;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    /// <summary>The verbs by name.</summary>
    public static TheoryData<string> All =>
    [
        "provision", "provision-qcow2", "thin", "pull", "convert", "convert-qcow2", "convert-packed", "convert-backed", "dd",
        "create", "create-qcow2", "create-backed", "create-data",
    ];

    /// <summary>Those that write a block device too.</summary>
    public static TheoryData<string> OnDevices =>
    [
        "provision", "provision-qcow2", "pull", "convert", "convert-qcow2", "dd", "create", "create-qcow2",
    ];

    /// <summary>The disk that all of them but those that create one write.</summary>
    public byte[] Content => _content;

    /// <summary>Where the verbs keep their sources.</summary>
    public string Home => _directory.Path;

    /// <summary>Runs a verb.</summary>
    /// <param name="verb">Its name.</param>
    /// <param name="target">The file it writes.</param>
    /// <param name="options">Options besides.</param>
    public async Task<ToolResult> RunAsync(string verb, string target, params string[] options)
    {
        var source = _directory.File("source.raw");
        if (!File.Exists(source))
        {
            await File.WriteAllBytesAsync(source, _content, Stop);
        }

        _image ??= await app.UploadAsync(_content);
        string[] url = ["--url", $"{app.Url}"];
        string[] arguments = verb switch
        {
            "provision" => ["provision", _image, "--to", target, .. url],
            "provision-qcow2" => ["provision", _image, "--to", target, "--format", "qcow2", .. url],
            "thin" => ["provision", _image, "--to", target, "--thin", "--cache", _directory.File("cache"), .. url],
            "pull" => ["pull", _image, "--to", target, .. url],
            "convert" => ["disk", "convert", "-f", "raw", "-O", "raw", source, target],
            "convert-qcow2" => ["disk", "convert", "-f", "raw", "-O", "qcow2", source, target],
            "convert-packed" => ["disk", "convert", "-c", "-f", "raw", "-O", "qcow2", source, target],
            "convert-backed" =>
                ["disk", "convert", "-f", "raw", "-O", "qcow2", "-B", source, "-F", "raw", source, target],
            "dd" => ["disk", "dd", "-f", "raw", "-O", "raw", $"if={source}", $"of={target}", "bs=64k"],
            "create" => ["disk", "create", "-f", "raw", target, "1M"],
            "create-qcow2" => ["disk", "create", "-f", "qcow2", target, "1M"],
            "create-backed" => ["disk", "create", "-f", "qcow2", "-b", source, "-F", "raw", target],
            _ =>
            [
                "disk", "create", "-f", "qcow2", "-o", $"data_file={target},data_file_raw=on",
                _directory.File(Guid.NewGuid().ToString()), "1M",
            ],
        };
        return await RegistryCommandLine.RunAsync([.. arguments, .. options]);
    }

    /// <summary>Requires that a target holds what a verb writes.</summary>
    public async Task RequireWrittenAsync(string verb, string target)
    {
        var format = verb is "thin" or "create-backed" or "convert-backed"
            || verb.EndsWith("qcow2", StringComparison.Ordinal) || verb.EndsWith("packed", StringComparison.Ordinal)
            ? "qcow2"
            : "raw";
        var raw = _directory.File("read.raw");
        await ExternalTool.Require("qemu-img").OutputAsync(
            Stop, "convert", "-U", "-f", format, "-O", "raw", target, raw);
        var expected = verb is "create" or "create-qcow2" or "create-data" ? new byte[1 << 20] : _content;
        var written = await File.ReadAllBytesAsync(raw, Stop);
        Assert.True(written.Length >= expected.Length, $"{verb} wrote {written.Length} bytes");
        Assert.True(written.AsSpan(0, expected.Length).SequenceEqual(expected), $"{verb} wrote other bytes");
    }

    public void Dispose() => _directory.Dispose();

    // With zeroes at both ends and amid it: they must reach a device that held something else.
    private static byte[] Make(int length)
    {
        var content = new byte[length];
        new Random(length).NextBytes(content.AsSpan(70_000, 500_000));
        new Random(length + 1).NextBytes(content.AsSpan(2_000_000, 300_123));
        return content;
    }
}
