using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Registry.Engine.Bytes;

/// <summary>What the operating system records of a file.</summary>
/// <param name="Kind">Its kind.</param>
/// <param name="Identity">Distinguishes it from every other file of this machine, where the file system records when files
/// were made also from those that had its inode before; nodes of one block device share it.</param>
/// <param name="Links">Names it has.</param>
/// <param name="Owner">Numeric user id of its owner.</param>
/// <param name="Group">Numeric id of its group.</param>
/// <param name="Mode">Permission bits. With an access list, the bits of the group are the list's mask.</param>
/// <param name="Length">Bytes; 0 for a device.</param>
/// <param name="ModifiedNanoseconds">Time of the last change of its content, in nanoseconds since 1970.</param>
public readonly partial record struct FileStatus(
    FileKind Kind, string Identity, uint Links, uint Owner, uint Group, UnixFileMode Mode, long Length,
    long ModifiedNanoseconds)
{
    private const int CurrentDirectory = -100; // AT_FDCWD
    private const int NoFollow = 0x100; // AT_SYMLINK_NOFOLLOW
    private const int EmptyPath = 0x1000; // AT_EMPTY_PATH
    private const uint Birth = 0x800; // STATX_BTIME
    private const uint Wanted = 0x7ff | Birth; // STATX_BASIC_STATS
    private const int StatxBytes = 256;
    private const int NotFound = 2; // ENOENT
    private const int NotADirectory = 20; // ENOTDIR

    // Offsets in struct statx, the same on every architecture.
    private const int LinksAt = 16;
    private const int OwnerAt = 20;
    private const int GroupAt = 24;
    private const int ModeAt = 28;
    private const int InodeAt = 32;
    private const int LengthAt = 40;
    private const int BornAt = 80;
    private const int ModifiedAt = 112;
    private const int RepresentedDeviceAt = 128;
    private const int DeviceAt = 136;

    private const int TypeMask = 0xF000;
    private const int PermissionMask = 0x0FFF;
    private const UnixFileMode OthersWrite = UnixFileMode.GroupWrite | UnixFileMode.OtherWrite;

    /// <summary>Whether this user owns it and no other user may write to it.</summary>
    public bool IsPrivate => Owner == GetEffectiveUser() && (Mode & OthersWrite) == 0;

    /// <summary>Whether no other user than the administrator can replace the entries of this directory that belong to this
    /// user: in a directory with the sticky bit, others cannot.</summary>
    public bool KeepsEntries => (Owner == 0 || Owner == GetEffectiveUser())
        && ((Mode & OthersWrite) == 0 || (Mode & UnixFileMode.StickyBit) != 0);

    /// <summary>Whether it is a regular file with one name that only this user may write to.</summary>
    public bool IsOwnFile => Kind == FileKind.Regular && Links == 1 && IsPrivate;

    /// <summary>Reads the status of an open file.</summary>
    /// <exception cref="IOException">The system call failed.</exception>
    public static FileStatus Of(SafeFileHandle file)
    {
        ArgumentNullException.ThrowIfNull(file);
        Span<byte> answer = stackalloc byte[StatxBytes];
        return Statx(file, "", EmptyPath, Wanted, ref MemoryMarshal.GetReference(answer)) == 0
            ? Read(answer)
            : throw SystemCall.Failure("statx", "an open file");
    }

    /// <summary>Reads the status of what a path leads to, through symbolic links.</summary>
    /// <returns>Null where the path leads to nothing, or may not be looked at.</returns>
    public static FileStatus? Of(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        Span<byte> answer = stackalloc byte[StatxBytes];
        return StatxPath(CurrentDirectory, path, 0, Wanted, ref MemoryMarshal.GetReference(answer)) == 0
            ? Read(answer)
            : null;
    }

    /// <summary>Reads the status of an entry of an open directory; a symbolic link is not followed.</summary>
    /// <returns>Null where there is no such entry.</returns>
    /// <exception cref="IOException">The system call failed.</exception>
    internal static FileStatus? OfEntry(SafeFileHandle directory, string name)
    {
        Span<byte> answer = stackalloc byte[StatxBytes];
        if (Statx(directory, name, NoFollow, Wanted, ref MemoryMarshal.GetReference(answer)) == 0)
        {
            return Read(answer);
        }

        return Marshal.GetLastPInvokeError() is NotFound or NotADirectory
            ? null
            : throw SystemCall.Failure("statx", name);
    }

    private static FileStatus Read(ReadOnlySpan<byte> answer)
    {
        var mode = BitConverter.ToUInt16(answer[ModeAt..]);
        var kind = (mode & TypeMask) switch
        {
            0x8000 => FileKind.Regular,
            0x4000 => FileKind.Directory,
            0x6000 => FileKind.BlockDevice,
            0xA000 => FileKind.Link,
            0x1000 => FileKind.Pipe,
            _ => FileKind.Other,
        };
        var seconds = BitConverter.ToInt64(answer[ModifiedAt..]);
        var nanoseconds = BitConverter.ToUInt32(answer[(ModifiedAt + 8)..]);
        return new FileStatus(
            kind,
            kind == FileKind.BlockDevice
                ? $"block:{Hex(answer, RepresentedDeviceAt)}"
                : $"{Hex(answer, DeviceAt)}:{Hex(answer, InodeAt)}:{BirthOf(answer)}",
            BitConverter.ToUInt32(answer[LinksAt..]),
            BitConverter.ToUInt32(answer[OwnerAt..]),
            BitConverter.ToUInt32(answer[GroupAt..]),
            (UnixFileMode)(mode & PermissionMask),
            BitConverter.ToInt64(answer[LengthAt..]),
            unchecked((seconds * 1_000_000_000) + nanoseconds));
    }

    private static string BirthOf(ReadOnlySpan<byte> answer) =>
        (BitConverter.ToUInt32(answer) & Birth) != 0 ? $"{Hex(answer, BornAt)}.{Hex(answer, BornAt + 8)}" : "";

    private static string Hex(ReadOnlySpan<byte> answer, int offset) =>
        System.Convert.ToHexString(answer.Slice(offset, 8));

    [LibraryImport("libc", EntryPoint = "geteuid")]
    private static partial uint GetEffectiveUser();

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(SafeFileHandle directory, string path, int flags, uint mask, ref byte status);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int StatxPath(int directory, string path, int flags, uint mask, ref byte status);
}
