namespace Registry.Engine.Inspect;

/// <summary>A range of a stream that is kept while it passes by.</summary>
/// <param name="Offset">First byte.</param>
/// <param name="Length">Length in bytes; 0 for none.</param>
internal readonly record struct StreamRange(long Offset, int Length);

/// <summary>The parts of a stream that are kept.</summary>
internal readonly ref struct StreamSample
{
    /// <summary>Its first bytes: as many as the probes asked for, less only where the stream ends.</summary>
    public ReadOnlySpan<byte> Head { get; init; }

    /// <summary>The range further in that a probe asked for; empty while it has not passed whole.</summary>
    public ReadOnlySpan<byte> Region { get; init; }

    /// <summary>Its last bytes, at most <see cref="StreamTail.Size"/>; empty while it runs.</summary>
    public ReadOnlySpan<byte> Tail { get; init; }

    /// <summary>Its length in bytes; null while it runs.</summary>
    public long? Length { get; init; }

    /// <summary>Whether bytes up to <paramref name="end"/> are missing because the stream is over.</summary>
    public bool EndsBefore(long end) => Length < end;
}
