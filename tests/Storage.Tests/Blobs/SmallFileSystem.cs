using System.Diagnostics;
using Registry.Support;

namespace Registry.Storage.Tests.Blobs;

/// <summary>A mounted file system that fills up soon.</summary>
internal sealed class SmallFileSystem : IDisposable
{
    private readonly TempDirectory _directory = new();

    private SmallFileSystem()
    {
    }

    public string Path => _directory.Path;

    /// <returns>Null where mounting is not allowed.</returns>
    public static SmallFileSystem? TryMount(int bytes)
    {
        var mount = new SmallFileSystem();
        try
        {
            Shell.Run("mount", "-t", "tmpfs", "-o", $"size={bytes}", "tmpfs", mount.Path);
            return mount;
        }
        catch (InvalidOperationException)
        {
            mount._directory.Dispose();
            return null;
        }
    }

    public void Dispose()
    {
        Shell.Run("umount", "-l", Path);
        _directory.Dispose();
    }
}

/// <summary>Runs a program and returns what it said.</summary>
internal static class Shell
{
    public static string Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var said = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0
            ? said.Trim()
            : throw new InvalidOperationException($"{program} failed: {process.StandardError.ReadToEnd()}");
    }
}
