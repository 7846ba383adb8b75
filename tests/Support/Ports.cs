using System.Net;
using System.Net.Sockets;

namespace Registry.Support;

/// <summary>Port numbers for servers that must be told theirs.</summary>
public static class Ports
{
    /// <summary>A port of the loopback interface that is free now.</summary>
    public static int Free()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
