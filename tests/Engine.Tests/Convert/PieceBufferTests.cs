using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Registry.Engine.Convert;
using Xunit;

namespace Registry.Engine.Tests.Convert;

/// <summary>What is kept of buffers that nobody uses.</summary>
public sealed class PieceBufferTests
{
    private const int Length = 8 << 20;
    private const int KeptMax = 3;
    private const int Threads = 10;

    [Fact]
    public async Task Of_large_buffers_a_few_are_kept_and_not_one_for_every_thread()
    {
        using var haveAll = new Barrier(Threads);
        using var returned = new CountdownEvent(Threads);
        using var counted = new ManualResetEventSlim();
        var arrays = new ConcurrentBag<WeakReference>();
        var threads = Enumerable.Range(0, Threads).Select(_ => Task.Factory.StartNew(
            () =>
            {
                arrays.Add(Use(haveAll));
                returned.Signal();
                counted.Wait(); // what a thread keeps goes with it
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default)).ToList();
        returned.Wait(TestContext.Current.CancellationToken);

        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        var kept = arrays.Count(array => array.IsAlive);
        counted.Set();
        await Task.WhenAll(threads);

        Assert.InRange(kept, 0, KeptMax);
    }

    // Apart, so that no local of the thread keeps the array.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference Use(Barrier haveAll)
    {
        var buffer = new PieceBuffer(Length, new DiskReadTotals());
        Assert.True(MemoryMarshal.TryGetArray((ReadOnlyMemory<byte>)buffer.Memory, out var segment));
        var array = new WeakReference(segment.Array);
        haveAll.SignalAndWait();
        buffer.RemoveUser();
        return array;
    }
}
