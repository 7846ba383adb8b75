using System.Runtime.InteropServices;

namespace Registry.Api.Connections;

/// <summary>How many files and connections the operating system lets this process have open.</summary>
internal static class FileLimit
{
    private const int OpenFiles = 7; // RLIMIT_NOFILE on Linux

    /// <summary>The limit that is in force.</summary>
    public static long Soft => GetLimit(OpenFiles, out var limit) == 0 ? (long)Math.Min(limit.Soft, long.MaxValue) : 1024;

    [DllImport("libc", EntryPoint = "getrlimit")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int GetLimit(int resource, out Limit limit);

    private struct Limit
    {
        public ulong Soft;
        public ulong Hard;
    }
}
