using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace Registry.Api.Connections;

/// <summary>One connection of a client, and how many of its requests are being answered.</summary>
/// <param name="table">Where it is listed.</param>
/// <param name="connection">The connection.</param>
internal sealed class OpenConnection(OpenConnections table, ConnectionContext connection)
{
    private static readonly object ItemKey = new();

    /// <summary>The connection that a request came in by; null where the server has no transport, as in tests.</summary>
    public static OpenConnection? Of(HttpContext context) =>
        context.Features.Get<IConnectionItemsFeature>()?.Items.TryGetValue(ItemKey, out var item) is true
            ? (OpenConnection?)item
            : null;

    /// <summary>The connection that a handler serves; null where the server has no transport.</summary>
    public static OpenConnection? Of(ConnectionContext connection) =>
        connection.Items.TryGetValue(ItemKey, out var item) ? (OpenConnection?)item : null;

    /// <summary>Requests under way: complete to their last header, and not answered. Guarded by the table.</summary>
    internal int Requests { get; set; }

    /// <summary>Where it comes from.</summary>
    internal IPAddress Address { get; } = IdleConnections.AddressOf(connection.RemoteEndPoint);

    /// <summary>Its place among the idle connections of its address; null while it has a request. Guarded by the
    /// table.</summary>
    internal LinkedListNode<OpenConnection>? Idle { get; set; }

    /// <summary>Lower is idle for longer. Guarded by the table.</summary>
    internal long IdleOrder { get; set; }

    /// <summary>Whether it was told to end. Guarded by the table.</summary>
    internal bool IsShed { get; set; }

    /// <summary>Whether it is closed. Guarded by the table.</summary>
    internal bool IsClosed { get; set; }

    /// <summary>Counts a request, until what is returned is disposed: meanwhile the connection is not shed.</summary>
    public Busy Enter()
    {
        table.Enter(this);
        return new Busy(table, this);
    }

    /// <summary>Makes the connection known to <see cref="Of(HttpContext)"/>.</summary>
    internal void Attach() => connection.Items[ItemKey] = this;

    /// <summary>Says that the connection is closed.</summary>
    internal void Close() => table.Close(this);

    /// <summary>Ends the connection immediately.</summary>
    internal void Abort() => connection.Abort(
        new ConnectionAbortedException("The server needs the connection's place for another one."));

    /// <summary>A request under way.</summary>
    internal readonly struct Busy(OpenConnections table, OpenConnection connection) : IDisposable
    {
        public void Dispose() => table?.Leave(connection);
    }
}
