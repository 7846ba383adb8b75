namespace Registry.Engine.Bytes;

/// <summary>Another process uses an image file in a way that excludes what this process wants of it.</summary>
/// <param name="path">The file.</param>
/// <param name="lockName">The lock that could not be had, as QEMU calls it.</param>
public sealed class FileInUseException(string path, string lockName)
    : IOException($"'{path}' is in use by another process: failed to get {lockName} lock");
