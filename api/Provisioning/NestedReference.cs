using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;

namespace Registry.Api.Provisioning;

/// <summary>Whether the guest bytes of a disk are themselves a disk image that refers to another file.</summary>
/// <remarks>A raw file made of such a disk begins like a qcow2 file with a backing file. A program that guesses formats opens
/// what that names, on the host where it runs.</remarks>
internal static class NestedReference
{
    private const int ReadBytes = 64 << 10;
    private const int HeadBytesMax = (1024 + 64) << 10; // what the inspector looks at most

    /// <summary>Looks at the first bytes of the disk.</summary>
    /// <returns>What refers to another file, such as <c>qcow2 backing_file_refused</c>; null for nothing.</returns>
    /// <exception cref="ImageFormatException">The image is malformed there.</exception>
    /// <exception cref="IOException">It could not be read.</exception>
    public static async ValueTask<string?> FindAsync(DiskImage disk, CancellationToken cancellationToken)
    {
        var inspector = new FormatInspector();
        var head = new byte[ReadBytes];
        while (inspector.Length < Math.Min(disk.VirtualSize, Math.Min(inspector.HeldBytes, HeadBytesMax)))
        {
            var length = (int)Math.Min(ReadBytes, disk.VirtualSize - inspector.Length);
            await ReadAsync(disk, inspector.Length, head.AsMemory(0, length), cancellationToken);
            inspector.Feed(head.AsSpan(0, length));
        }

        // What ends within the inspector's head is judged when it ends; longer disks are judged by their heads.
        var failures = inspector.EarlyRefusal is { } early ? [early]
            : inspector.Length == disk.VirtualSize ? inspector.Finish().Failures
            : [];
        return failures.FirstOrDefault(failure => IsReference(failure.Error)) is { } found
            ? $"{FormatNames.Of(inspector.EarlyContainer ?? inspector.Finish().Format)} {FormatErrors.Code(found.Error)}"
            : null;
    }

    // QED is accepted under no circumstances, so its refusal does not tell whether it has a backing file.
    private static bool IsReference(FormatError error) =>
        error is FormatError.BackingFileRefused or FormatError.DataFileRefused or FormatError.FormatBanned;

    private static async ValueTask ReadAsync(
        DiskImage disk, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        buffer.Span.Clear();
        var options = DiskReadOptions.Default with
        {
            Start = offset, Length = buffer.Length, MaxRangeBytes = ReadBytes * 2, Parallelism = 1,
        };
        await foreach (var piece in DiskReader.ReadAsync(disk, options, cancellationToken))
        {
            using (piece)
            {
                piece.Data.CopyTo(buffer[(int)(piece.Offset - offset)..]);
            }
        }
    }
}
