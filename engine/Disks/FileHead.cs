using Registry.Engine.Bytes;

namespace Registry.Engine.Disks;

/// <summary>Reads structures of known size that a format puts at known places.</summary>
internal static class FileHead
{
    /// <summary>Reads a structure.</summary>
    /// <param name="source">The file.</param>
    /// <param name="offset">First byte, 0 or more.</param>
    /// <param name="length">Bytes, few enough to be held.</param>
    /// <param name="what">What it is, for the message.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException"><see cref="FormatError.Truncated"/>: the file ends before its
    /// end.</exception>
    public static async ValueTask<byte[]> ReadAsync(
        IByteSource source, long offset, int length, string what, CancellationToken cancellationToken)
    {
        if (offset > source.Length - length)
        {
            throw Truncated(what, offset);
        }

        var bytes = new byte[length];
        return await source.ReadAsync(offset, bytes, cancellationToken).ConfigureAwait(false) == length
            ? bytes
            : throw Truncated(what, offset);
    }

    private static ImageFormatException Truncated(string what, long offset) =>
        new(FormatError.Truncated, $"The image ends inside its {what}.", offset);
}
