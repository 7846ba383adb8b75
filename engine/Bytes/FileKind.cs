using System.Runtime.InteropServices;

namespace Registry.Engine.Bytes;

/// <summary>What a path leads to.</summary>
public enum FileKind
{
    /// <summary>Nothing, or nothing that this process may look at.</summary>
    Missing,

    /// <summary>A regular file.</summary>
    Regular,

    /// <summary>A directory.</summary>
    Directory,

    /// <summary>A block device.</summary>
    BlockDevice,

    /// <summary>A character device, a pipe or a socket.</summary>
    Other,
}

/// <summary>Tells what paths lead to.</summary>
/// <remarks>.NET does not: on Linux no file has <see cref="FileAttributes.Device"/>.</remarks>
public static partial class FileKinds
{
    private const int CurrentDirectory = -100; // AT_FDCWD
    private const int TypeWanted = 1; // STATX_TYPE
    private const int StatxBytes = 256;
    private const int ModeOffset = 28; // the same on every architecture
    private const int TypeMask = 0xF000;
    private const int RegularType = 0x8000;
    private const int DirectoryType = 0x4000;
    private const int BlockDeviceType = 0x6000;

    /// <summary>What a path leads to, through symbolic links.</summary>
    public static FileKind Of(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (!OperatingSystem.IsLinux())
        {
            return Directory.Exists(path) ? FileKind.Directory : File.Exists(path) ? FileKind.Regular : FileKind.Missing;
        }

        var status = new byte[StatxBytes];
        return Statx(CurrentDirectory, path, 0, TypeWanted, status) != 0
            ? FileKind.Missing
            : (BitConverter.ToUInt16(status, ModeOffset) & TypeMask) switch
            {
                RegularType => FileKind.Regular,
                DirectoryType => FileKind.Directory,
                BlockDeviceType => FileKind.BlockDevice,
                _ => FileKind.Other,
            };
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int directory, string path, int flags, uint mask, byte[] status);
}
