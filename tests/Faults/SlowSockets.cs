using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Registry.Support;

namespace Registry.Faults;

/// <summary>Clients that hold a connection and hardly use it; one that is thrown out comes back.</summary>
internal static class SlowSockets
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500);

    /// <summary>Sends a request's head a line at a time and never ends it.</summary>
    public static Task SendHeadsAsync(RegistryProcess registry, int count, CancellationToken over) =>
        RunAsync(registry, count, _ => "GET /v2/images HTTP/1.1\r\nHost: localhost\r\n", Send("X: x\r\n"), over);

    /// <summary>Says nothing.</summary>
    public static Task StayIdleAsync(RegistryProcess registry, int count, CancellationToken over) =>
        RunAsync(registry, count, _ => "", (_, _) => Task.FromResult(true), over);

    /// <summary>Uploads a few bytes a second.</summary>
    /// <param name="registry">The registry.</param>
    /// <param name="ids">An image for each client.</param>
    /// <param name="over">Ends it.</param>
    public static Task UploadAsync(RegistryProcess registry, IReadOnlyList<string> ids, CancellationToken over) => RunAsync(
        registry, ids.Count,
        number => string.Create(
            CultureInfo.InvariantCulture,
            $"PUT /v2/images/{ids[number]}/file HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {Site.Operator}\r\n" +
            $"Content-Type: application/octet-stream\r\nContent-Length: {100 << 20}\r\n\r\n"),
        Send("x"), over);

    /// <summary>Downloads a few bytes a second.</summary>
    public static Task ReadAsync(RegistryProcess registry, int count, string id, CancellationToken over) => RunAsync(
        registry, count,
        _ => $"GET /v2/images/{id}/file HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {Site.Operator}\r\n\r\n",
        async (socket, token) => await socket.ReceiveAsync(new byte[16], token) > 0, over);

    private static Func<Socket, CancellationToken, Task<bool>> Send(string text) => async (socket, token) =>
    {
        await socket.SendAsync(Encoding.ASCII.GetBytes(text), token);
        return socket.Available == 0; // an answer ends it
    };

    private static Task RunAsync(
        RegistryProcess registry, int count, Func<int, string> head, Func<Socket, CancellationToken, Task<bool>> step,
        CancellationToken over) => Task.WhenAll(Enumerable.Range(0, count).Select(async number =>
        {
            while (!over.IsCancellationRequested)
            {
                try
                {
                    using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp)
                    {
                        NoDelay = true, ReceiveBufferSize = 4096,
                    };
                    await socket.ConnectAsync(registry.Url.Host, registry.Url.Port, over);
                    await socket.SendAsync(Encoding.ASCII.GetBytes(head(number)), over);
                    do
                    {
                        await Task.Delay(Pause, over);
                    }
                    while (await step(socket, over));
                }
                catch (Exception e) when (e is SocketException or OperationCanceledException)
                {
                    await Task.Delay(Pause, CancellationToken.None); // thrown out, or over
                }
            }
        }));
}
