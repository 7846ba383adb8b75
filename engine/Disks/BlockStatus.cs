using System.Runtime.CompilerServices;
using Registry.Engine.Bytes;

namespace Registry.Engine.Disks;

/// <summary>What qemu-img says of a run of guest bytes: one entry of <c>qemu-img map --output=json</c>.</summary>
/// <param name="Start">First guest byte.</param>
/// <param name="Length">Length in guest bytes.</param>
/// <param name="Depth">Which image of the backing chain decided it; 0 is the image itself.</param>
/// <param name="IsPresent">Whether that image has something there, be it zeroes.</param>
/// <param name="IsZero">Whether it reads as zeroes, known without reading.</param>
/// <param name="IsData">Whether it is stored.</param>
/// <param name="Offset">First stored byte, also of a place that is kept for zeroes; -1 where there is none, or the
/// bytes
/// there are compressed or encrypted.</param>
public readonly record struct BlockStatus(
    long Start, long Length, int Depth, bool IsPresent, bool IsZero, bool IsData, long Offset)
{
    /// <summary>Joins the run that follows, where both are one to qemu-img.</summary>
    /// <param name="next">The run that follows.</param>
    /// <param name="joined">Both together.</param>
    public bool TryAppend(BlockStatus next, out BlockStatus joined)
    {
        joined = this with { Length = Length + next.Length };
        return Length > 0 && Depth == next.Depth && IsPresent == next.IsPresent && IsZero == next.IsZero
            && IsData == next.IsData
            && (Offset < 0 ? next.Offset < 0 : next.Offset == Offset + Length);
    }

    /// <summary>What a raw file says: everything is there, and holes are zeroes.</summary>
    internal static BlockStatus OfRaw(Extent extent, int depth) => new(
        extent.Start, extent.Length, depth, IsPresent: true, IsZero: !extent.IsStored, IsData: extent.IsStored,
        Offset: extent.Start);

    /// <summary>Cuts stored runs where the file has holes: QEMU looks for them in formats that allocate everything at
    /// once, and says of such a hole that it is stored and zero.</summary>
    internal static async IAsyncEnumerable<BlockStatus> WithHolesAsync(
        IAsyncEnumerable<BlockStatus> parts, IByteSource file,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (var part in parts.ConfigureAwait(false))
        {
            for (long done = 0; done < part.Length;)
            {
                var left = part.Length - done;
                var at = part.Offset + done;
                var run = !part.IsData ? new ByteRun(left, IsHole: part.IsZero)
                    : at < file.Length ? await file.RunAsync(at, cancellationToken).ConfigureAwait(false)
                    : new ByteRun(left, IsHole: true);
                var step = Math.Min(run.Length, left);
                yield return part with
                {
                    Start = part.Start + done,
                    Length = step,
                    IsZero = run.IsHole,
                    Offset = part.Offset < 0 ? -1 : at,
                };
                done += step;
            }
        }
    }
}
