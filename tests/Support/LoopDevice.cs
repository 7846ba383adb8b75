using Xunit;

namespace Registry.Support;

/// <summary>A block device over a file, gone when it is disposed.</summary>
public sealed class LoopDevice : IAsyncDisposable
{
    private readonly ExternalTool _losetup;

    private LoopDevice(ExternalTool losetup, string path) => (_losetup, Path) = (losetup, path);

    /// <summary>The device's node.</summary>
    public string Path { get; }

    /// <summary>Makes a device; skips the test where this process may not, and fails it where nothing may be skipped.</summary>
    /// <param name="file">The file, as long as the device shall be.</param>
    /// <param name="sectorBytes">512 or 4096.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public static async Task<LoopDevice> CreateAsync(string file, int sectorBytes, CancellationToken cancellationToken)
    {
        var losetup = ExternalTool.Require("losetup");
        var made = await losetup.RunAsync(
            ["--find", "--show", "--sector-size", $"{sectorBytes}", file], cancellationToken);
        Assert.SkipWhen(made.ExitCode != 0 && !ExternalTool.IsStrict, $"no loop device can be made here: {made.Error}");
        Assert.True(made.ExitCode == 0, made.Error);
        return new LoopDevice(losetup, made.Output.Trim());
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync() => await _losetup.RunAsync(["--detach", Path], CancellationToken.None);
}
