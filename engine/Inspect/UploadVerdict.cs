using Registry.Engine.Disks;

namespace Registry.Engine.Inspect;

/// <summary>Whether an upload may be kept under the formats it was declared to have.</summary>
/// <param name="Refusal">Why not; null when it may.</param>
/// <param name="VirtualSize">The disk's size in bytes; null when it cannot be told.</param>
public sealed record UploadVerdict(InspectionFailure? Refusal, long? VirtualSize)
{
    /// <summary>Whether the upload may be kept.</summary>
    public bool IsAccepted => Refusal is null;

    /// <summary>Judges a whole stream.</summary>
    /// <remarks>
    /// 1. Nothing at all is an image that was only registered: fine under names without signature, and in any
    ///    <c>container_format</c> but bare. An empty file is not a qcow2.
    /// 2. A container (qcow2, vmdk, vhd, vhdx, vdi, ploop) must have been declared, must be the only signature and be safe.
    /// 3. <c>iso</c>, <c>gpt</c> and <c>luks</c> are a disk's plain bytes too: fine as themselves when safe, and as
    ///    <c>raw</c> or a format without signature (ami, ari, aki, ploop).
    /// 4. No signature: fine as raw, as a format without signature, or in any <c>container_format</c> but bare: an archive
    ///    has the disk somewhere inside, and what is an Amazon image (ami, ari, aki) only Amazon knows.
    /// 5. What certainly is not a disk (<see cref="Inspection.Other"/>) is not fine in bare: it would be taken for the
    ///    bytes of a disk. A client that means it declares <c>container_format</c> compressed or ova. Kernels and initial
    ///    RAM disks (aki, ari) are compressed as they are.
    /// </remarks>
    /// <param name="diskFormat">The declared <c>disk_format</c>.</param>
    /// <param name="containerFormat">The declared <c>container_format</c>; null is like bare.</param>
    /// <param name="inspection">What the stream was found to be.</param>
    /// <param name="mayBeEmpty">Whether nothing at all is fine under any name.</param>
    public static UploadVerdict Judge(
        string diskFormat, string? containerFormat, Inspection inspection, bool mayBeEmpty = false)
    {
        if (inspection.Length == 0 && (mayBeEmpty || !IsBare(containerFormat) || HasNoSignature(diskFormat)))
            return new UploadVerdict(null, null);

        var isContainer = FormatNames.IsContainer(inspection.Format);
        var isDeclared = diskFormat == FormatNames.Of(inspection.Format);
        if (isContainer && inspection.Failures.Count > 0)
            return Refuse(Unsafe(inspection.Failures[0]));

        if (!IsBare(containerFormat) && inspection.Format == DiskFormat.Raw)
            return new UploadVerdict(null, null);

        if (inspection is { Format: DiskFormat.Raw, Other: { } other }
            && !(diskFormat is "aki" or "ari" && other.Kind == OtherContentKind.Compressed))
            return Refuse(NotADisk(diskFormat, other));

        if (isDeclared)
        {
            return inspection.Failures.Count == 0
                ? new UploadVerdict(null, inspection.VirtualSize)
                : Refuse(Unsafe(inspection.Failures[0]));
        }

        if (isContainer || !HasNoSignature(diskFormat))
            return Refuse(Mismatch(diskFormat, inspection.Format));

        var ambiguous = inspection.Failures.FirstOrDefault(failure => failure.Error == FormatError.AmbiguousFormat);
        return ambiguous is null ? new UploadVerdict(null, inspection.Length) : Refuse(Unsafe(ambiguous));
    }

    /// <summary>Judges a stream that still runs: what is certain already.</summary>
    /// <param name="diskFormat">The declared <c>disk_format</c>.</param>
    /// <param name="inspector">The inspector that the stream passes.</param>
    /// <returns>Why the upload will be refused; null while that is not certain.</returns>
    public static InspectionFailure? JudgeEarly(string diskFormat, FormatInspector inspector)
    {
        if (inspector.EarlyRefusal is { } failure)
            return Unsafe(failure);

        return inspector.EarlyContainer is { } found && FormatNames.Of(found) != diskFormat
            ? Mismatch(diskFormat, found)
            : null;
    }

    private static UploadVerdict Refuse(InspectionFailure failure) => new(failure, null);

    private static InspectionFailure Unsafe(InspectionFailure failure) =>
        failure with { Message = $"Image failed safety checks: {failure.Message}" };

    private static InspectionFailure Mismatch(string declared, DiskFormat found) => new(
        FormatError.FormatMismatch,
        $"Image disk_format {declared} does not match stream data {FormatNames.Of(found)}");

    private static InspectionFailure NotADisk(string declared, OtherContent found) => new(
        HasNoSignature(declared) ? FormatError.NotADisk : FormatError.FormatMismatch,
        $"Image disk_format {declared} does not match stream data {found.Name}: {found.Advice}");

    private static bool IsBare(string? containerFormat) => containerFormat is null or "bare";

    private static bool HasNoSignature(string diskFormat) => diskFormat is "raw" or "ami" or "ari" or "aki" or "ploop";
}
