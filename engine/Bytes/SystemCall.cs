using System.Runtime.InteropServices;

namespace Registry.Engine.Bytes;

/// <summary>Failures of system calls as exceptions.</summary>
internal static class SystemCall
{
    /// <summary>EPERM.</summary>
    public const int NotPermitted = 1;

    /// <summary>ENOENT.</summary>
    public const int NotFound = 2;

    /// <summary>ENXIO: the other end of a pipe or socket is missing.</summary>
    public const int NoSuchAddress = 6;

    /// <summary>EWOULDBLOCK.</summary>
    public const int WouldBlock = 11;

    /// <summary>EACCES.</summary>
    public const int AccessDenied = 13;

    /// <summary>EBUSY.</summary>
    public const int Busy = 16;

    /// <summary>EEXIST.</summary>
    public const int Exists = 17;

    /// <summary>EISDIR.</summary>
    public const int IsDirectory = 21;

    /// <summary>EINVAL.</summary>
    public const int InvalidArgument = 22;

    /// <summary>ENOSYS.</summary>
    public const int NotImplemented = 38;

    /// <summary>ELOOP: a symbolic link where none is followed.</summary>
    public const int IsLink = 40;

    /// <summary>ENODATA: no such extended attribute.</summary>
    public const int NoAttribute = 61;

    /// <summary>EOPNOTSUPP.</summary>
    public const int NotSupported = 95;

    /// <summary>The failure of the last call, with errno as its <see cref="Exception.HResult"/> as in the runtime's own
    /// exceptions.</summary>
    /// <param name="call">The call.</param>
    /// <param name="path">What it was about.</param>
    public static IOException Failure(string call, string path) => Failure(call, path, Marshal.GetLastPInvokeError());

    /// <summary>The failure of a call with a given error.</summary>
    public static IOException Failure(string call, string path, int error) =>
        new($"{call} of '{path}' failed: {Marshal.GetPInvokeErrorMessage(error)} (errno {error})", error);
}
