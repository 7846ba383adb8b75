using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>Bounds the work of a check by the size of the file.</summary>
/// <param name="fileLength">Bytes of the file.</param>
internal sealed class CheckBudget(long fileLength)
{
    private const long SpareEntries = 48L << 20;

    // Every table that lies cluster by cluster is read at most three times: to count, to compare, to check flags.
    private long left = (fileLength / 8 * 3) + SpareEntries;

    /// <summary>Takes table entries that are about to be visited.</summary>
    /// <exception cref="ImageFormatException"><see cref="FormatError.BudgetExceeded"/>.</exception>
    public void Spend(long entries)
    {
        left -= entries;
        if (left < 0)
        {
            throw new ImageFormatException(
                FormatError.BudgetExceeded, "The image's tables overlap so often that checking it is not worth it.");
        }
    }
}
