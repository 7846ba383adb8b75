using Registry.Engine.Disks;
using Registry.Engine.Qcow2.Checking;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Qcow2.Checking;

/// <summary>Small files whose tables are used so often that following each use takes for ever.</summary>
public sealed class AmplifyingImageTests
{
    private const int Cluster = 65536;

    [Fact]
    public async Task Many_snapshots_of_one_long_L1_table_of_one_L2_table_are_counted_at_once()
    {
        // header | refcount table | block | L1 of 8192 entries, all the same L2 | L2, all the same cluster | snapshots
        const int Snapshots = 2000;
        var q = Image(clusters: 8 + 2, l1Entries: 8192);
        q.U32(60, Snapshots).U64(64, 6 * Cluster);
        for (var i = 0; i < 8192; i++)
        {
            q.U64((3 * Cluster) + (i * 8), 4 * Cluster);
            q.U64((4 * Cluster) + (i * 8), 5 * Cluster);
        }

        for (var i = 0; i < Snapshots; i++)
        {
            var at = (6 * Cluster) + (i * 56);
            q.U64(at, 3 * Cluster).U32(at + 8, 8192).U32(at + 36, 16);
        }

        var report = await Bounded(q.Bytes);

        // 2001 tables of 8192 entries use the L2 table and its 8192 entries the data cluster; 16 bits hold 65535.
        const long L2Uses = 2001L * 8192;
        const long Overflows = L2Uses - 65535 + ((L2Uses * 8192) - 65535);
        Assert.True(report.Corruptions > Overflows, $"{report}");
        Assert.Equal(8192L * 8192, report.AllocatedClusters);
    }

    [Fact]
    public async Task Many_L2_tables_that_overlap_end_at_the_budget()
    {
        var q = Image(clusters: 256, l1Entries: 8192);
        for (var i = 0; i < 8192; i++)
        {
            q.U64((3 * Cluster) + (i * 8), (ulong)((8 * Cluster) + (i * 512)));
        }

        var exception = await Assert.ThrowsAsync<ImageFormatException>(async () => await Bounded(q.Bytes));
        Assert.Equal(FormatError.BudgetExceeded, exception.Error);
    }

    [Fact]
    public async Task Tables_that_promise_the_largest_sizes_cost_nothing()
    {
        var q = Image(clusters: 8, l1Entries: 4 << 20);
        q.U32(56, 128).U32(60, 65536).U64(64, 0x7000_0000_0000_0000);

        var report = await Bounded(q.Bytes);

        Assert.True(report.Corruptions > 65536, $"{report}");
    }

    private static Tests.Qcow2.QcowBytes Image(int clusters, uint l1Entries) =>
        new Tests.Qcow2.QcowBytes(clusters: clusters, l1Entries: l1Entries);

    private static async Task<QcowCheckReport> Bounded(byte[] bytes)
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            return await QcowCheck.CheckAsync(new MemoryBytes(bytes), TestContext.Current.CancellationToken);
        }
        finally
        {
            // All in memory, so it runs on this thread to its end.
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 256L << 20);
        }
    }
}
