using System.Globalization;
using System.Runtime.InteropServices;

namespace Registry.Api;

/// <summary>The limit on open files and sockets of this process (<c>RLIMIT_NOFILE</c>).</summary>
internal static partial class FileLimit
{
    /// <summary>Fewest descriptors that the server starts with: 256 for files of stores that are kept open, and as many
    /// for the database, the listeners and a few dozen connections and uploads.</summary>
    public const long Minimum = 512;

    private const int NumberOfFiles = 7;

    /// <summary>Raises the soft limit to the hard one and checks that it is enough.</summary>
    /// <returns>The limit from now on.</returns>
    /// <exception cref="ConfigurationException">The limit is lower than <see cref="Minimum"/>.</exception>
    public static long Raise()
    {
        if (!OperatingSystem.IsLinux() || GetLimit(NumberOfFiles, out var limit) != 0)
        {
            return long.MaxValue;
        }

        if (limit.Soft < limit.Hard)
        {
            var raised = limit with { Soft = limit.Hard };
            limit = SetLimit(NumberOfFiles, in raised) == 0 ? raised : limit;
        }

        return Require(limit.Soft > long.MaxValue ? long.MaxValue : (long)limit.Soft);
    }

    /// <summary>Checks that a limit is enough.</summary>
    /// <exception cref="ConfigurationException">It is not.</exception>
    internal static long Require(long limit) => limit >= Minimum
        ? limit
        : throw new ConfigurationException(string.Create(
            CultureInfo.InvariantCulture,
            $"the limit on open files is {limit}, and the server needs {Minimum} or more: raise it " +
            $"(ulimit -n {Minimum}, or LimitNOFILE={Minimum} in the systemd unit)"));

    [LibraryImport("libc", EntryPoint = "getrlimit", SetLastError = true)]
    private static partial int GetLimit(int resource, out Limit limit);

    [LibraryImport("libc", EntryPoint = "setrlimit", SetLastError = true)]
    private static partial int SetLimit(int resource, in Limit limit);

    [StructLayout(LayoutKind.Sequential)]
    private readonly record struct Limit(nuint Soft, nuint Hard);
}
