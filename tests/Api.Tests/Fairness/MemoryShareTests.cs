using Registry.Api.Memory;
using Registry.Api.Provisioning;
using Registry.Storage.Domain;

namespace Registry.Api.Tests.Fairness;

/// <summary>The memory of transfers, and with it the places of readers, is shared among projects.</summary>
public sealed class MemoryShareTests
{
    private const long BudgetBytes = 128L << 20;
    private readonly ProcessMemory _memory = new(
        new MemorySection { BudgetBytes = BudgetBytes, Wait = TimeSpan.FromMilliseconds(300) }, TimeProvider.System,
        hasProjects: true);

    [Fact]
    public async Task Readers_of_one_project_leave_places_for_others_and_are_refused_in_time()
    {
        var shares = new ReadShares(_memory);
        var greedy = await JoinAllAsync(shares, "greedy");
        Assert.Equal(_memory.Disks.Bytes / 2 / (2 << 20), greedy.Count);
        var modest = await JoinAllAsync(shares, "modest");
        Assert.InRange(modest.Count, greedy.Count / 3, greedy.Count);
        using (var other = await shares.JoinAsync(RegistryApp.Stop, projectId: "other"))
        {
            Assert.NotNull(other.Options);
        }

        greedy.ForEach(share => share.Dispose());
        modest.ForEach(share => share.Dispose());
        Assert.Equal(0, _memory.Disks.Taken);
    }

    [Theory]
    [InlineData("uploads")]
    [InlineData("downloads")]
    [InlineData("exports")]
    [InlineData("requests")]
    public async Task Every_part_is_shared(string which)
    {
        var part = which switch
        {
            "uploads" => _memory.Uploads, "downloads" => _memory.Downloads, "exports" => _memory.Exports, _ => _memory.Requests,
        };
        const int bytes = 1 << 20;
        var held = new List<IDisposable>();
        var refused = await Assert.ThrowsAsync<RegistryException>(async () =>
        {
            while (true)
            {
                held.Add(await _memory.TakeAsync(part, "greedy", bytes, RegistryApp.Stop));
            }
        });
        Assert.Equal((ErrorCode.Busy, ProcessMemory.Reason), (refused.Code, refused.Reason));
        Assert.Equal(part.Bytes / 2 / bytes, held.Count);
        (await _memory.TakeAsync(part, "modest", bytes, RegistryApp.Stop)).Dispose();
        held.ForEach(share => share.Dispose());
        Assert.Equal(0, part.Taken);
    }

    private static async Task<List<ReadShares.Share>> JoinAllAsync(ReadShares shares, string project)
    {
        var joined = new List<ReadShares.Share>();
        try
        {
            while (true)
            {
                joined.Add(await shares.JoinAsync(RegistryApp.Stop, most: 0, project));
            }
        }
        catch (RegistryException refused) when (refused.Code == ErrorCode.Busy)
        {
            return joined;
        }
    }
}
