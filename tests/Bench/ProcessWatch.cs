using System.Globalization;
using Registry.Support;

namespace Registry.Bench;

/// <summary>Looks at a registry while it works: how much memory it has, and how much lies in its directories and in files
/// of its that have no name.</summary>
internal sealed class ProcessWatch : IAsyncDisposable
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    private readonly CancellationTokenSource _stop = new();
    private readonly RegistryProcess _registry;
    private readonly string[] _directories;
    private readonly Task _watching;

    /// <summary>Starts to look; the peaks are those from now on.</summary>
    public ProcessWatch(RegistryProcess registry, params string[] directories)
    {
        (_registry, _directories) = (registry, directories);
        File.WriteAllText($"/proc/{registry.Id}/clear_refs", "5"); // VmHWM starts anew
        (DiskBytesBefore, ResidentBefore) = (DiskBytes(), registry.Status("VmRSS"));
        _watching = WatchAsync();
    }

    /// <summary>Bytes on the disk when it started.</summary>
    public long DiskBytesBefore { get; }

    /// <summary>Most bytes on the disk.</summary>
    public long DiskBytesMax { get; private set; }

    /// <summary>Most memory that no file stands behind, KiB.</summary>
    public long AnonymousMax { get; private set; }

    /// <summary>Memory when it started, KiB.</summary>
    public long ResidentBefore { get; }

    /// <summary>Most memory, KiB, by the kernel.</summary>
    public long ResidentMax => _registry.Status("VmHWM");

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    private async Task WatchAsync()
    {
        while (true)
        {
            DiskBytesMax = Math.Max(DiskBytesMax, DiskBytes());
            AnonymousMax = Math.Max(AnonymousMax, _registry.Status("RssAnon"));
            await Task.Delay(Pause, _stop.Token);
        }
    }

    private long DiskBytes() => _directories.Where(Directory.Exists)
        .SelectMany(directory => new DirectoryInfo(directory).EnumerateFiles("*", SearchOption.AllDirectories))
        .Sum(LengthOf)
        + Directory.EnumerateFiles(string.Create(CultureInfo.InvariantCulture, $"/proc/{_registry.Id}/fd"))
            .Where(IsNameless).Sum(LengthOf);

    private static bool IsNameless(string descriptor)
    {
        var target = new FileInfo(descriptor).LinkTarget;
        return target?.StartsWith('/') == true && target.EndsWith(" (deleted)", StringComparison.Ordinal)
            && !target.StartsWith("/memfd:", StringComparison.Ordinal);
    }

    // Not opened: there are pipes among them.
    private static long LengthOf(FileInfo file)
    {
        try
        {
            return file.Length;
        }
        catch (IOException)
        {
            return 0; // it has just gone
        }
    }

    private static long LengthOf(string path)
    {
        try
        {
            using var file = File.OpenHandle(path);
            return RandomAccess.GetLength(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            return 0; // it has just gone
        }
    }
}
