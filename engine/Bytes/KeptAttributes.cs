using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Registry.Engine.Bytes;

/// <summary>Owner, mode, access list and security label of a file, for the file that replaces it.</summary>
public sealed partial class KeptAttributes
{
    private const string AccessList = "system.posix_acl_access";
    private const string SecurityLabel = "security.selinux";
    private const string UserPrefix = "user.";
    private const int MaxNamesBytes = 64 << 10; // the kernel's own limits
    private const int MaxValueBytes = 64 << 10;

    private readonly FileStatus status;
    private readonly List<(string Name, byte[] Value)> extended;

    private KeptAttributes(FileStatus status, List<(string Name, byte[] Value)> extended) =>
        (this.status, this.extended) = (status, extended);

    /// <summary>Reads the attributes of a file.</summary>
    /// <exception cref="IOException">They cannot be read.</exception>
    public static KeptAttributes Of(FileBytes file)
    {
        ArgumentNullException.ThrowIfNull(file);
        var kept = Names(file.Handle).Where(IsKept).Select(name => (name, Value(file.Handle, name)))
            .Where(one => one.Item2 is not null).Select(one => (one.name, one.Item2!));
        return new KeptAttributes(file.Status(), [.. kept]);
    }

    /// <summary>Requires that a file can be given the owner; changes nothing.</summary>
    /// <param name="file">A file of this user.</param>
    /// <exception cref="IOException">Only an administrator can do that.</exception>
    public void RequireOwnerFor(FileBytes file)
    {
        ArgumentNullException.ThrowIfNull(file);
        var own = file.Status();
        Own(file, status.Owner, status.Group);
        Own(file, own.Owner, own.Group);
    }

    /// <summary>Gives the attributes to another file.</summary>
    /// <exception cref="IOException">One of them cannot be given.</exception>
    /// <exception cref="UnauthorizedAccessException">The mode cannot be set.</exception>
    public void ApplyTo(FileBytes file)
    {
        ArgumentNullException.ThrowIfNull(file);
        Own(file, status.Owner, status.Group);
        if (!extended.Exists(one => one.Name == AccessList))
        {
            RemoveAccessList(file); // one that the directory gives to new files
        }

        file.SetMode(status.Mode);
        foreach (var (name, value) in extended)
        {
            if (Value(file.Handle, name)?.AsSpan().SequenceEqual(value) != true
                && SetAttribute(file.Handle, name, value, (nuint)value.Length, 0) != 0)
            {
                throw SystemCall.Failure($"setting {name}", file.Path);
            }
        }
    }

    private static bool IsKept(string name) =>
        name is AccessList or SecurityLabel || name.StartsWith(UserPrefix, StringComparison.Ordinal);

    private static void Own(FileBytes file, uint owner, uint group)
    {
        var now = file.Status();
        if ((now.Owner, now.Group) != (owner, group) && ChangeOwner(file.Handle, owner, group) != 0)
        {
            throw SystemCall.Failure($"keeping the owner ({owner}:{group})", file.Path);
        }
    }

    private static void RemoveAccessList(FileBytes file)
    {
        if (RemoveAttribute(file.Handle, AccessList) != 0
            && Marshal.GetLastPInvokeError() is var error
                and not (SystemCall.NoAttribute or SystemCall.NotSupported))
        {
            throw SystemCall.Failure($"removing {AccessList}", file.Path, error);
        }
    }

    private static string[] Names(SafeFileHandle file)
    {
        var buffer = new byte[MaxNamesBytes];
        var length = ListAttributes(file, buffer, (nuint)buffer.Length);
        return length < 0
            ? Marshal.GetLastPInvokeError() == SystemCall.NotSupported ? [] : throw SystemCall.Failure("listxattr", "a file")
            : Encoding.UTF8.GetString(buffer, 0, (int)length).Split('\0', StringSplitOptions.RemoveEmptyEntries);
    }

    private static byte[]? Value(SafeFileHandle file, string name)
    {
        var buffer = new byte[MaxValueBytes];
        var length = GetAttribute(file, name, buffer, (nuint)buffer.Length);
        return length >= 0
            ? buffer[..(int)length]
            : Marshal.GetLastPInvokeError() is SystemCall.NoAttribute or SystemCall.NotSupported
                ? null
                : throw SystemCall.Failure($"reading {name}", "a file");
    }

    [LibraryImport("libc", EntryPoint = "fchown", SetLastError = true)]
    private static partial int ChangeOwner(SafeFileHandle file, uint owner, uint group);

    [LibraryImport("libc", EntryPoint = "flistxattr", SetLastError = true)]
    private static partial nint ListAttributes(SafeFileHandle file, byte[] names, nuint bytes);

    [LibraryImport("libc", EntryPoint = "fgetxattr", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint GetAttribute(SafeFileHandle file, string name, byte[] value, nuint bytes);

    [LibraryImport("libc", EntryPoint = "fsetxattr", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetAttribute(SafeFileHandle file, string name, byte[] value, nuint bytes, int flags);

    [LibraryImport("libc", EntryPoint = "fremovexattr", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int RemoveAttribute(SafeFileHandle file, string name);
}
