using Registry.Engine.Disks;
using Registry.Storage.Domain;

namespace Registry.Api.Provisioning;

/// <summary>How a disk, or a part of it, is sent: in steps, after each of which an interrupted receiver can go
/// on.</summary>
/// <param name="Totals">What the whole disk allocates.</param>
/// <param name="AllocatedInRange">Guest bytes that have stored content in the part.</param>
/// <param name="Ends">Where each step ends, ascending; the last one is the part's end.</param>
internal sealed record DiskSteps(AllocationTotals Totals, long AllocatedInRange, IReadOnlyList<long> Ends)
{
    /// <summary>Content of a step: what is sent again at most after an interruption.</summary>
    private const long StepBytes = 64 << 20;

    /// <summary>Steps end at multiples of the largest cluster of a qcow2 file, so that none is cut.</summary>
    private const long Alignment = 2 << 20;

    /// <summary>Cuts a part of a disk.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="start">First guest byte.</param>
    /// <param name="length">Guest bytes; 0 for all to the end.</param>
    /// <param name="cancellationToken">Cancels the mapping.</param>
    /// <exception cref="RegistryException">BadRequest: the part is not in the disk.</exception>
    public static async ValueTask<DiskSteps> PlanAsync(
        DiskImage disk, long start, long length, CancellationToken cancellationToken)
    {
        if (start < 0 || start > disk.VirtualSize || length < 0 || length > disk.VirtualSize - start)
        {
            throw new RegistryException(
                ErrorCode.BadRequest,
                $"{length} bytes from {start} on are not in a disk of {disk.VirtualSize} bytes.",
                "range_outside_disk");
        }

        var end = length == 0 ? disk.VirtualSize : start + length;
        var totals = default(AllocationTotals);
        var (inRange, inStep) = (0L, 0L);
        var ends = new List<long>();
        await foreach (var extent in disk.MapAsync(0, disk.VirtualSize, cancellationToken))
        {
            totals = totals.With(extent);
            var (at, until) = (Math.Max(start, extent.Start), Math.Min(end, extent.End));
            if (!extent.IsStored || at >= until)
            {
                continue;
            }

            inRange += until - at;
            while (inStep + until - at >= StepBytes)
            {
                at += StepBytes - inStep;
                inStep = 0;
                var cut = (at + Alignment - 1) & ~(Alignment - 1);
                if (cut < end && cut > start && (ends.Count == 0 || cut > ends[^1]))
                {
                    ends.Add(cut);
                }
            }

            inStep += until - at;
        }

        ends.Add(end);
        return new DiskSteps(totals, inRange, ends);
    }
}
