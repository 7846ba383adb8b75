using System.Diagnostics;
using Registry.Support;

namespace Registry.Api.Tests.Cli.Locks;

/// <summary>A program that has an image open and holds its locks.</summary>
internal sealed class ImageHolder : IAsyncDisposable
{
    private readonly Process _process;

    private ImageHolder(Process process) => _process = process;

    /// <summary>Starts a program, and waits until it holds locks of a file.</summary>
    /// <param name="line">The program and its arguments, separated by single spaces; <c>{}</c> is the file.</param>
    /// <param name="file">The image.</param>
    public static async Task<ImageHolder> StartAsync(string line, string file)
    {
        var words = line.Split(' ').Select(word => word.Replace("{}", file, StringComparison.Ordinal)).ToList();
        var program = Path.IsPathRooted(words[0]) ? words[0] : ExternalTool.Find(words[0]);
        if (program is null)
        {
            ExternalTool.Require(words[0]);
        }

        var start = new ProcessStartInfo(program!, words.Skip(1))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        var holder = new ImageHolder(Process.Start(start)!);
        var inode = (await ExternalTool.Require("stat").OutputAsync(TestContext.Current.CancellationToken, "-c", "%i", file)).Trim();
        while (!await HasLocksAsync(inode))
        {
            if (holder._process.HasExited)
            {
                Assert.Fail($"{line} ended: {await holder._process.StandardError.ReadToEndAsync()}");
            }

            await Task.Delay(20, TestContext.Current.CancellationToken);
        }

        return holder;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync(CancellationToken.None);
        _process.Dispose();
    }

    // Byte 100 is locked by all, readers of raw disks too.
    private static async Task<bool> HasLocksAsync(string inode) =>
        (await File.ReadAllLinesAsync("/proc/locks", TestContext.Current.CancellationToken))
            .Any(line => line.Contains("OFDLCK", StringComparison.Ordinal)
                && line.Contains($":{inode} ", StringComparison.Ordinal) && line.Contains(" 100 ", StringComparison.Ordinal));
}
