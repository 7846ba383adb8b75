namespace Registry.Engine.Disks;

/// <summary>The bytes are not a disk image that may be used: malformed, unsupported, or asking for what is
/// forbidden.</summary>
/// <remarks>Only ever about the bytes. Wrong calls throw <see cref="ArgumentException"/>, failing reads
/// <see cref="IOException"/>.</remarks>
/// <param name="error">The reason.</param>
/// <param name="message">A full sentence for the user, free of content taken unescaped from the image.</param>
/// <param name="offset">Byte offset in the file of the offending structure; -1 when there is none.</param>
public sealed class ImageFormatException(FormatError error, string message, long offset = -1)
    : Exception(message)
{
    /// <summary>The reason.</summary>
    public FormatError Error { get; } = error;

    /// <summary>Byte offset in the file of the offending structure; -1 when there is none.</summary>
    public long Offset { get; } = offset;
}
