namespace Registry.Engine.Qcow2.Checking;

/// <summary>Which L2 tables the L1 tables lead to, and how often: a table that a thousand snapshots share is read
/// once.</summary>
internal sealed class L2Uses
{
    private readonly Dictionary<long, (ulong Active, ulong Inactive)> uses = [];

    /// <summary>Adds a use by the active L1 table.</summary>
    public void AddActive(long offset)
    {
        uses.TryGetValue(offset, out var use);
        uses[offset] = use with { Active = use.Active + 1 };
    }

    /// <summary>Adds uses by snapshots.</summary>
    public void AddInactive(long offset, ulong times)
    {
        uses.TryGetValue(offset, out var use);
        uses[offset] = use with { Inactive = use.Inactive + times };
    }

    /// <summary>All tables in the order of the file.</summary>
    public (long Offset, ulong Active, ulong Inactive)[] InOrder()
    {
        var tables = new (long Offset, ulong Active, ulong Inactive)[uses.Count];
        var i = 0;
        foreach (var (offset, use) in uses)
        {
            tables[i++] = (offset, use.Active, use.Inactive);
        }

        Array.Sort(tables);
        return tables;
    }
}
