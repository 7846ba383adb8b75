using Registry.Engine.Disks;

namespace Registry.Engine.Inspect;

/// <summary>Recognises one format in a stream and says whether it is safe to keep. Holds no state.</summary>
internal abstract class FormatProbe
{
    /// <summary>The format.</summary>
    public abstract DiskFormat Format { get; }

    /// <summary>How many of the stream's first bytes the checks need, judged by those at hand; 0 for no more.</summary>
    public virtual int HeadBytes(ReadOnlySpan<byte> head) => 0;

    /// <summary>A range behind the head that the checks need, judged by the whole head.</summary>
    public virtual StreamRange Region(ReadOnlySpan<byte> head) => default;

    /// <summary>Whether the format's signature is there.</summary>
    public abstract bool Matches(in StreamSample sample);

    /// <summary>Checks a stream that matches: what is certain so far while the stream runs, everything once it is
    /// over.</summary>
    /// <returns>The disk's size in bytes; null when it is not known (yet).</returns>
    /// <exception cref="ImageFormatException">The stream is not safe to keep as this format.</exception>
    public abstract long? Check(in StreamSample sample);

    /// <summary>Refuses disks beyond what the server takes.</summary>
    /// <exception cref="ImageFormatException">The size is beyond the limit.</exception>
    protected static long RequireSize(ulong sizeBytes) => Limits.Strict.RequireVirtualSize(sizeBytes);
}
