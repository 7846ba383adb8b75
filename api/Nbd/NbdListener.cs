using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Extensions.Options;
using Registry.Api.Connections;
using Registry.Api.Metrics;
using Registry.Storage.Domain;

namespace Registry.Api.Nbd;

/// <summary>Serves NBD: each connection is a handshake, and then a session with the export that was chosen.</summary>
internal sealed partial class NbdListener(
    NbdDoor door,
    NbdTls tls,
    NbdCache cache,
    NbdKeeper keeper,
    NbdLobby lobby,
    RegistryMetrics metrics,
    TimeProvider clock,
    IHostApplicationLifetime lifetime,
    IOptions<RegistryOptions> options,
    ILogger<NbdListener> logger) : ConnectionHandler
{
    private const int KeepAliveSeconds = 60;

    private NbdSection Settings => options.Value.Nbd;

    /// <inheritdoc/>
    public override async Task OnConnectedAsync(ConnectionContext connection)
    {
        try
        {
            await ServeAsync(connection);
        }
        catch (Exception e) when (IsOfTheClient(e))
        {
            Log.Dropped(logger, connection.ConnectionId, e.Message);
            connection.Abort();
        }
    }

    private async Task ServeAsync(ConnectionContext connection)
    {
        KeepAlive(connection);
        await using var channel = new NbdChannel(connection.Transport, tls);
        var input = new NbdInput(channel);
        if (await HandshakeAsync(connection, channel, input) is { } choice)
        {
            await ServeAsync(connection, channel, input, choice);
        }

        await channel.EndAsync(Settings.Patience);
    }

    private async Task ServeAsync(ConnectionContext connection, NbdChannel channel, NbdInput input, NbdChoice choice)
    {
        await using var chosen = choice;
        using var busy = OpenConnection.Of(connection)?.Enter() ?? default;
        var export = choice.Export;
        var caller = choice.Permit.Caller;
        Log.Opened(
            logger, connection.ConnectionId, export.Disk.ImageId, export.IsWritable, caller.ProjectId, caller.UserId);
        using var replies = new NbdReplies(channel.Output, choice.IsStructured, Settings.Patience, clock);
        using var session = new NbdSession(choice, input, replies, Settings.Patience, e => Break(connection, e));
        var isDone = false;
        try
        {
            isDone = await session.RunAsync(lifetime.ApplicationStopping, connection.ConnectionClosed);
        }
        catch (OperationCanceledException)
        {
            // The server stops, or the client has gone.
        }
        finally
        {
            metrics.Provisioned(session.BytesRead);
            if (!isDone && choice.Permit.KeepAs is not null && export.IsChanged)
            {
                Log.Lost(logger, connection.ConnectionId, export.Disk.ImageId);
            }
        }

        // The connection stays until then: a client that waits for its end knows that the image is there, or is not.
        if (isDone && choice.Permit.KeepAs is { } name && export.IsChanged)
        {
            await keeper.KeepAsync(caller, name, export, lifetime.ApplicationStopping);
        }
    }

    private async ValueTask<NbdChoice?> HandshakeAsync(
        ConnectionContext connection, NbdChannel channel, NbdInput input)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(
            lifetime.ApplicationStopping, connection.ConnectionClosed);
        limit.CancelAfter(Settings.HandshakeTimeout);
        var address = (connection.RemoteEndPoint as IPEndPoint)?.Address.ToString() ?? "";
        using var place = lobby.Enter(
            address, () => connection.Abort(new ConnectionAbortedException("Another client takes its place.")));
        await using var handshake = new NbdHandshake(channel, input, door, cache, Settings);
        try
        {
            return await handshake.RunAsync(limit.Token);
        }
        catch (OperationCanceledException) when (limit.IsCancellationRequested)
        {
            throw new NbdViolationException("it did not choose an export in time");
        }
    }

    // A request that cannot be answered ends the connection, which ends all others.
    private void Break(ConnectionContext connection, Exception exception)
    {
        if (!IsOfTheClient(exception) && exception is not OperationCanceledException)
        {
            Log.Failed(logger, connection.ConnectionId, exception);
        }
        else if (!connection.ConnectionClosed.IsCancellationRequested)
        {
            Log.Dropped(logger, connection.ConnectionId, exception.Message);
        }

        connection.Abort();
    }

    private static bool IsOfTheClient(Exception exception) =>
        exception is NbdViolationException or TimeoutException or IOException or AuthenticationException;

    // A host that died says nothing; its connection would stay for ever.
    private static void KeepAlive(ConnectionContext connection)
    {
        if (connection.Features.Get<IConnectionSocketFeature>()?.Socket is { } socket)
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, KeepAliveSeconds);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(
            1, LogLevel.Information,
            "NBD connection {Connection} opened image {ImageId} (overlay: {Overlay}) for user {User} of {Project}")]
        public static partial void Opened(
            ILogger logger, string connection, string imageId, bool overlay, string? project, string? user);

        [LoggerMessage(2, LogLevel.Information, "NBD connection {Connection} was dropped: {Reason}")]
        public static partial void Dropped(ILogger logger, string connection, string reason);

        [LoggerMessage(3, LogLevel.Error, "NBD connection {Connection} failed")]
        public static partial void Failed(ILogger logger, string connection, Exception exception);

        [LoggerMessage(
            4, LogLevel.Warning,
            "NBD connection {Connection} broke off: its overlay of image {ImageId}, which was to be kept, is lost")]
        public static partial void Lost(ILogger logger, string connection, string imageId);
    }
}
