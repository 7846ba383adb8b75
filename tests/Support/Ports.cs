using System.Net;
using System.Net.Sockets;

namespace Registry.Support;

/// <summary>Port numbers for servers that must be told theirs.</summary>
public static class Ports
{
    // Below those that the kernel gives to clients: one of them would be gone before the server is there.
    private const int First = 18_000;
    private const int End = 32_000;

    /// <summary>A port of the loopback interface that is free now, and that no client is given.</summary>
    public static int Free()
    {
        while (true)
        {
            var port = Random.Shared.Next(First, End);
            using var listener = new TcpListener(IPAddress.Loopback, port);
            try
            {
                listener.Start();
                return port;
            }
            catch (SocketException)
            {
                continue; // somebody has it
            }
        }
    }
}
