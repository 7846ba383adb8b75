using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;
using Registry.Api.Connections;
using Registry.Storage.Memory;

namespace Registry.Api.Tests.Connections;

/// <summary>No more connections than there may be, and the idle ones make room.</summary>
public sealed class OpenConnectionsTests
{
    private const int Max = 3;
    private readonly MemoryBudget _budget = new(1 << 30);
    private readonly OpenConnections _connections;

    public OpenConnectionsTests() => _connections = new OpenConnections(Max, _budget);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_new_connection_takes_the_place_of_the_one_that_has_been_idle_longest()
    {
        var open = Enumerable.Range(0, Max).Select(_ => Admit()).ToList();
        using (Busy(open[0]))
        {
            // Its request is answered when the next connection comes.
        }

        await using var another = Admit();

        await ClosedAsync(open[1]); // the first has become idle after it
        Assert.False(open[0].ConnectionClosed.IsCancellationRequested);
        Assert.Equal(Max, _connections.Count);
    }

    [Theory]
    [InlineData("192.0.2.1", "192.0.2.1", "192.0.2.2")]
    [InlineData("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2")]
    [InlineData("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")]
    public async Task Who_has_the_most_loses_his_own(string address, string same, string other)
    {
        var open = new[] { other, address, same }.Select(Admit).ToList();
        foreach (var next in new[] { 1, 2 })
        {
            open.Add(Admit(address));
            await ClosedAsync(open[next]);
        }

        Assert.False(open[0].ConnectionClosed.IsCancellationRequested); // idle for longest, and the only one of its address
    }

    [Fact]
    public void A_connection_whose_request_is_being_answered_is_never_shed()
    {
        var open = Enumerable.Range(0, Max).Select(_ => Admit()).ToList();
        var requests = open.Select(connection => Busy(connection)).ToList();
        Assert.False(_connections.TryAdmit(new DefaultConnectionContext()));
        Assert.All(open, connection => Assert.False(connection.ConnectionClosed.IsCancellationRequested));

        requests[1].Dispose();
        Assert.True(_connections.TryAdmit(new DefaultConnectionContext()));
    }

    [Fact]
    public void A_connection_with_several_requests_is_idle_after_the_last()
    {
        var open = Enumerable.Range(0, Max).Select(_ => Admit()).ToList();
        open.Skip(1).ToList().ForEach(connection => Busy(connection));
        var (first, second) = (Busy(open[0]), Busy(open[0]));
        first.Dispose();
        Assert.False(_connections.TryAdmit(new DefaultConnectionContext()));
        second.Dispose();
        Assert.True(_connections.TryAdmit(new DefaultConnectionContext()));
    }

    [Fact]
    public async Task What_is_closed_leaves_its_place_and_its_memory()
    {
        var open = Enumerable.Range(0, Max).Select(_ => Admit()).ToList();
        var charged = _budget.Taken;
        Assert.True(charged > 0);
        foreach (var connection in open)
        {
            connection.Abort();
        }

        while (_connections.Count > 0 || _budget.Taken > 0)
        {
            await Task.Delay(10, Stop);
        }

        Busy(open[0]).Dispose(); // a request that ends after its connection
        Assert.Equal(0, _connections.Count);
        Assert.True(_connections.TryAdmit(new DefaultConnectionContext()));
    }

    [Fact]
    public void A_flood_is_refused_while_those_that_were_shed_are_still_closing()
    {
        var stuck = Enumerable.Range(0, 1000).Count(_ => _connections.TryAdmit(new NeverClosed()));
        Assert.InRange(stuck, Max, Max + 64);
    }

    [Theory]
    [InlineData(512, 1L << 40, 128)]
    [InlineData(1024, 1L << 40, 256)]
    [InlineData(1 << 20, 1L << 40, 16384)]
    [InlineData(1 << 20, 64 << 20, 1024)]
    [InlineData(64, 1L << 40, 32)]
    public void The_limit_leaves_descriptors_and_memory_for_the_work(long files, long memory, int expected) =>
        Assert.Equal(expected, ConnectionLimit.Of(files, memory));

    private DefaultConnectionContext Admit() => Admit("127.0.0.1");

    private DefaultConnectionContext Admit(string address)
    {
        var connection = new DefaultConnectionContext { RemoteEndPoint = new IPEndPoint(IPAddress.Parse(address), 50000) };
        Assert.True(_connections.TryAdmit(connection));
        return connection;
    }

    private static OpenConnection.Busy Busy(ConnectionContext connection)
    {
        var context = new DefaultHttpContext();
        context.Features.Set<IConnectionItemsFeature>(new Items(connection.Items));
        return OpenConnection.Of(context)!.Enter();
    }

    private static async Task ClosedAsync(ConnectionContext connection)
    {
        var closed = new TaskCompletionSource();
        using var registration = connection.ConnectionClosed.Register(() => closed.SetResult());
        await closed.Task.WaitAsync(Stop);
    }

    private sealed class Items(IDictionary<object, object?> items) : IConnectionItemsFeature
    {
        IDictionary<object, object?> IConnectionItemsFeature.Items { get; set; } = items;
    }

    private sealed class NeverClosed : DefaultConnectionContext
    {
        public override void Abort(ConnectionAbortedException abortReason)
        {
            // Its socket is full, say.
        }
    }
}
