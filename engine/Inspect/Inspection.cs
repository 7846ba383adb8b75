using Registry.Engine.Disks;

namespace Registry.Engine.Inspect;

/// <summary>Why a stream is not safe to keep as the format it is.</summary>
/// <param name="Error">The reason.</param>
/// <param name="Message">A full sentence for the user, free of unescaped content of the stream.</param>
public sealed record InspectionFailure(FormatError Error, string Message);

/// <summary>What a whole stream was found to be.</summary>
/// <param name="Format">The one format it is; <see cref="DiskFormat.Raw"/> when no signature was found.</param>
/// <param name="Matches">Every format whose signature was found, raw never among them.</param>
/// <param name="Length">Length of the stream in bytes.</param>
/// <param name="VirtualSize">Size of the disk in bytes where the format tells it (raw: the stream's length); null when
/// it cannot be told.</param>
/// <param name="Failures">What forbids to keep it as <paramref name="Format"/>; empty when nothing does.</param>
/// <param name="Other">What it is where no signature was found and it is certainly not a disk; null when it may be
/// one.</param>
public sealed record Inspection(
    DiskFormat Format,
    IReadOnlyList<DiskFormat> Matches,
    long Length,
    long? VirtualSize,
    IReadOnlyList<InspectionFailure> Failures,
    OtherContent? Other = null);
